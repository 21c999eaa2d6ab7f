"""What a clients file says."""

from msgspec import Struct

from app.access.callers import Caller
from app.access.issuers import Issuer


class Clients(Struct, frozen=True):
    """Those who may ask: callers by their keys, and issuers whose tokens are taken."""

    callers: tuple[Caller, ...] = ()
    issuers: tuple[Issuer, ...] = ()
