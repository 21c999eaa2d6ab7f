"""Merchants: who there is, as the upstream's directory says. Of each, no more is kept than this."""

from typing import Annotated

from msgspec import Meta, Struct

MerchantNumber = Annotated[int, Meta(ge=1, le=2**63 - 1)]


class Merchant(Struct, frozen=True, gc=False, omit_defaults=True):
    """A merchant: its name and its status are there where the directory told them."""

    id: MerchantNumber
    name: str | None = None
    status: int | None = None


class Directory(Struct, frozen=True):
    """The merchants as of a time (Unix milliseconds), by rising id, each once."""

    as_of: int
    merchants: tuple[Merchant, ...]
