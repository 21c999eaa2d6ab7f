"""The view of the merchant directory."""

from itertools import islice
from typing import Annotated, Self

from msgspec import UNSET, Meta, Struct, UnsetType

from app.api.views.accounts import MerchantId
from app.api.views.parts import DirectoryStale, DirectoryTime, format_known
from app.portfolio.directory import Listing


class MerchantView(Struct, frozen=True, rename="camel", omit_defaults=True):
    """A merchant, and its name where the upstream's directory has one."""

    merchant_id: MerchantId
    merchant_name: str | UnsetType = UNSET


class MerchantsView(Struct, frozen=True, rename="camel", omit_defaults=True):
    """Merchants by id; `next` is where the next page goes on."""

    merchants: tuple[MerchantView, ...]
    directory_as_of: DirectoryTime | UnsetType = UNSET
    directory_stale: DirectoryStale = False
    next: Annotated[str, Meta(description="The `after` of the next page, if there is one.")] | UnsetType = UNSET

    @classmethod
    def of(cls, listing: Listing, *, search: str, after: int, limit: int) -> Self:
        """Show up to `limit` merchants after the id `after` whose id or name matches `search` (in lower case)."""
        matching = (
            (account_id, name)
            for account_id, name in listing.names.items()
            if int(account_id) > after and (account_id.startswith(search) or search in name.casefold())
        )
        found = list(islice(matching, limit + 1))
        shown = tuple(MerchantView(int(account_id), name or UNSET) for account_id, name in found[:limit])
        return cls(
            shown,
            directory_as_of=format_known(listing.as_of),
            directory_stale=listing.is_stale,
            next=found[limit - 1][0] if len(found) > limit else UNSET,
        )
