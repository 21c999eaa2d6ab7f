"""The upstream's directory: who its merchants are. Of each, id and name are taken; the rest is dropped at the door."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from app.balances.snapshots import Key

PATH: Final = "/v2/merchants"
PAGE_SIZE: Final = 1000

_ALL_STATUSES: Final = -1


class _Entry(Struct, rename="camel"):
    merchant_id: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    merchant_name: str = ""


class _Page(Struct):
    total: int
    data: list[_Entry]


def ask_for(page: int) -> dict[str, str]:
    """Give the parameters of a page, counted from 1. Merchants of any status may hold balances."""
    return {"status": str(_ALL_STATUSES), "currentPage": str(page), "pageSize": str(PAGE_SIZE)}


def read_page(data: object) -> tuple[dict[Key, str], int]:
    """Give the merchants of a page with their names, and how many there are on all. Raises `ValueError` where it is not as documented."""
    try:
        page = msgspec.convert(data, _Page)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    return {Key(str(entry.merchant_id)): entry.merchant_name for entry in page.data}, page.total
