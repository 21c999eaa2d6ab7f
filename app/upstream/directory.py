"""The upstream's directory of merchants. Only id, name and status are kept; all other data is dropped here."""

from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from app.balances.merchants import Merchant, MerchantNumber
from app.decoding import Undecodable, convert

PATH: Final = "/v2/merchants"
PAGE_SIZE: Final = 1000

_ALL_STATUSES: Final = -1


class _Entry(Struct, rename="camel"):
    merchant_id: MerchantNumber
    merchant_name: str | None = None
    status: int | None = None


class _Page(Struct):
    total: Annotated[int, Meta(ge=0)]
    data: list[_Entry]
    size: Any = None


def ask_for(page: int) -> dict[str, str]:
    """Return the parameters of a page, counted from 1. Merchants of any status may hold balances."""
    return {"status": str(_ALL_STATUSES), "currentPage": str(page), "pageSize": str(PAGE_SIZE)}


def read_page(data: object) -> tuple[list[Merchant], int, bool]:
    """Return the merchants of a page, the number on all pages, and whether this page is full.

    A page that has as many merchants as its `size` is full: the upstream may give smaller pages than we ask for, and a
    `total` of each page. Raises `ValueError` if the page is not as documented.
    """
    try:
        page = convert(data, _Page)
    except Undecodable as error:
        raise ValueError(str(error)) from None
    count = len(page.data)
    is_full = count >= PAGE_SIZE or (type(page.size) is int and 0 < page.size <= count)
    return [_read(entry, index) for index, entry in enumerate(page.data)], page.total, is_full


def _read(entry: _Entry, index: int) -> Merchant:
    """Check that an entry's name can be encoded as UTF-8."""
    try:
        (entry.merchant_name or "").encode()
    except UnicodeEncodeError:
        raise ValueError(f"half a surrogate pair in merchant_name - at `$.data[{index}]`") from None
    return Merchant(entry.merchant_id, entry.merchant_name, entry.status)
