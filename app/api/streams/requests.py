"""Requests for a stream, read strictly: whose balances, which rows, how young, from where on, and in which format."""

import re
from typing import Final, Self

from litestar.types import HTTPScope
from msgspec import Struct

from app.access.callers import ALL
from app.api.requests.formats import StreamFormat, choose_stream_format
from app.api.requests.headers import find_lines, join_lines
from app.api.requests.parameters import WITHIN_PATTERN, read_flag, read_merchant_ids, read_query
from app.api.requests.selection import Selection
from app.balances.snapshots import AccountId
from app.errors import InvalidRequest

PARAMETERS: Final = ("merchantId", "portfolio", "assets", "within", "after", "format")
WITHIN_DEFAULT: Final = 35

_WITHIN: Final = re.compile(WITHIN_PATTERN)


class WatchRequest(Struct, frozen=True):
    """What a stream shows. `merchants` is None for all that the caller may read."""

    merchants: tuple[AccountId, ...] | None
    portfolio: bool
    selection: Selection
    within_seconds: int
    cursor: str | None
    stream_format: StreamFormat

    @classmethod
    def read(cls, scope: HTTPScope) -> Self:
        """Read it from an ASGI scope. Raises `InvalidRequest`. A cursor is not judged here: a wrong one means all."""
        given = read_query(scope["query_string"], PARAMETERS)
        portfolio = read_flag("portfolio", given.get("portfolio"))
        merchants = given.get("merchantId")
        if merchants is None:
            raise InvalidRequest("The parameter 'merchantId' is missing.")
        return cls(
            merchants=None if merchants == ALL else read_merchant_ids(merchants.split(",")),
            portfolio=portfolio,
            selection=Selection.read(given.get("assets"), None),
            within_seconds=_read_within(given.get("within")),
            cursor=next(iter(find_lines(scope["headers"], b"last-event-id")), "") or given.get("after"),
            stream_format=_read_format(given.get("format"))
            or choose_stream_format(join_lines(scope["headers"], b"accept")),
        )


def _read_within(text: str | None) -> int:
    if text is None:
        return WITHIN_DEFAULT
    if not _WITHIN.fullmatch(text):
        raise InvalidRequest("within wants a number of seconds from 5 to 600.")
    return int(text)


def _read_format(text: str | None) -> StreamFormat | None:
    if text is None:
        return None
    try:
        return StreamFormat(text)
    except ValueError:
        raise InvalidRequest("format wants events, jsonl or text.") from None
