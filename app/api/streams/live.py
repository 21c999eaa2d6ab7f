"""What is live in the API: streams with their scopes, and long polls."""

from msgspec import Struct

from app.api.streams.scopes import Scopes
from app.api.streams.streams import Streams
from app.watch.long_polls import LongPolls


class Live(Struct, frozen=True):
    """The parts that the API opens streams with, and lets reads wait by."""

    scopes: Scopes
    streams: Streams
    long_polls: LongPolls
