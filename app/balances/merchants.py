"""Merchants, as the upstream's directory lists them. No other personal data of them is kept."""

from typing import Annotated, Final

from msgspec import Meta, Struct

from app.balances.snapshots import UnixMs

MAX_MERCHANT_ID: Final = 2**53 - 1
"""The largest number that every reader of JSON keeps (RFC 8259, section 6). JavaScript reads larger ones as others."""

MerchantNumber = Annotated[int, Meta(ge=1, le=MAX_MERCHANT_ID)]


class Merchant(Struct, frozen=True, gc=False, omit_defaults=True):
    """A merchant, with name and status if the directory has them."""

    id: MerchantNumber
    name: str | None = None
    status: int | None = None


class Directory(Struct, frozen=True):
    """The merchants as of a time (Unix milliseconds), by ascending id, each once."""

    as_of: UnixMs
    merchants: tuple[Merchant, ...]
