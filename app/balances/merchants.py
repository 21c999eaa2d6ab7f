"""Merchants, as the upstream's directory lists them. No other personal data of them is kept."""

from typing import Annotated

from msgspec import Meta, Struct

from app.balances.snapshots import UnixMs

MerchantNumber = Annotated[int, Meta(ge=1, le=2**63 - 1)]


class Merchant(Struct, frozen=True, gc=False, omit_defaults=True):
    """A merchant, with name and status if the directory has them."""

    id: MerchantNumber
    name: str | None = None
    status: int | None = None


class Directory(Struct, frozen=True):
    """The merchants as of a time (Unix milliseconds), by ascending id, each once."""

    as_of: UnixMs
    merchants: tuple[Merchant, ...]
