"""The view of the caller itself."""

from typing import Annotated, Literal, Self

from msgspec import UNSET, Meta, Struct, UnsetType

from app.access.callers import ALL, Caller
from app.access.quotas import DEFAULT_CONCURRENCY
from app.access.validity import FOREVER
from app.api.views.accounts import MerchantId
from app.api.views.parts import format_known

Merchants = Annotated[
    list[MerchantId] | Literal["all"], Meta(description="The merchants that you may read, or `all` there are.")
]
UntilTime = Annotated[
    str,
    Meta(
        description="When the key or the token ends; left out if it does not.",
        extra_json_schema={"format": "date-time"},
        examples=["2027-05-31T22:00:00.000Z"],
    ),
]


class QuotaView(Struct, frozen=True, omit_defaults=True):
    """The limits of a caller, over all workers of a replica."""

    concurrency: Annotated[int, Meta(ge=1, description="Requests at the same time.")]
    rate: Annotated[float, Meta(gt=0, description="Requests a second; left out if unlimited.")] | UnsetType = UNSET


class MeView(Struct, frozen=True, omit_defaults=True):
    """The caller, its rights as they are now, and when its credential ends."""

    name: str
    source: Annotated[Literal["key", "token"], Meta(description="What the credential is.")]
    merchants: Merchants
    portfolio: Annotated[bool, Meta(description="Whether you may read all merchants together.")]
    quota: QuotaView
    until: UntilTime | UnsetType = UNSET

    @classmethod
    def of(cls, caller: Caller) -> Self:
        """Show a caller. Its merchants are in the order of their ids."""
        everything = caller.merchants == ALL
        return cls(
            name=caller.name,
            source="token" if caller.has_token else "key",
            merchants="all" if everything else sorted(map(int, caller.merchants)),
            portfolio=caller.portfolio,
            quota=QuotaView(caller.concurrency or DEFAULT_CONCURRENCY, UNSET if caller.rate is None else caller.rate),
            until=format_known(None if caller.validity.until == FOREVER else caller.validity.until),
        )
