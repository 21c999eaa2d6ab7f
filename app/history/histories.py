"""Histories: what answers questions about the past, or nothing where none is kept."""

from msgspec import Struct

from app.history.following import Following
from app.history.past import Past


class Histories(Struct, frozen=True):
    """The past of each account, and the feed of all changes; None where no history is kept."""

    past: Past | None = None
    following: Following | None = None


NO_HISTORIES = Histories()
