"""Parameters, read strictly: an unknown, doubled or undocumented value is refused, never guessed at."""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from app.api.requests.formats import Format
from app.balances.merchants import MAX_MERCHANT_ID
from app.balances.snapshots import AGGREGATE, MAX_NAME_CHARACTERS, AccountId
from app.decoding import Undecodable, parse_query
from app.errors import InvalidRequest
from app.portfolio.parts import Sort

MERCHANT_ID_PATTERN: Final = "^[1-9][0-9]{0,18}$"
MAX_MERCHANTS: Final = 1000
MAX_SEARCH: Final = 64
MAX_BODY_BYTES: Final = 64 * 1024
ASSETS_PATTERN: Final = "^[^,]+(,[^,]+){0,99}$"
SORT_PATTERN: Final = r"^-?[^-][\s\S]{0,255}$"
LIMIT_PATTERN: Final = "^([1-9][0-9]{0,2}|1000)$"
WITHIN_PATTERN: Final = "^([5-9]|[1-9][0-9]|[1-5][0-9]{2}|600)$"
CURSOR_PATTERN: Final = "^[0-9a-f]{24}-[1-9][0-9]{0,8}$"

_LONG_ID: Final = len(str(MAX_MERCHANT_ID))
_MERCHANT_ID: Final = re.compile(MERCHANT_ID_PATTERN)
_BODY_TOKEN: Final = re.compile(rb'[^\s{}\[\]:,"]+')
_ASSETS: Final = re.compile(ASSETS_PATTERN)
_COMMA: Final = re.compile("%2[Cc]")
_SORT: Final = re.compile(SORT_PATTERN)
_LIMIT: Final = re.compile(LIMIT_PATTERN)
_CURSOR: Final = re.compile(CURSOR_PATTERN)

_BY_MERCHANT: Final = "id"
_LIMIT_DEFAULT: Final = 100


def read_query(query: bytes, known: Collection[str]) -> Mapping[str, str]:
    """Read a query by name. Raises `InvalidRequest` for a parameter that is unknown, doubled, or not UTF-8."""
    if not query:
        return {}
    try:
        given = parse_query(query)
    except Undecodable:
        raise InvalidRequest("The query is not percent-encoded UTF-8.") from None
    names = [name for name, _ in given]
    for name in names:
        if name not in known:
            raise InvalidRequest(f"There is no parameter {name[:64]!r} here.")
    if twice := {name for name in names if names.count(name) > 1}:
        raise InvalidRequest(f"The parameter {min(twice)!r} comes twice.")
    return dict(given)


def check_body_digits(merchants: Iterable[str], body: bytes) -> None:
    """Raise `InvalidRequest` if a body does not have the exact digits of these merchants and nothing else.

    A decoder takes 1e4 and 10000.0 for 10000, rounds 9007199254740993.0 to another merchant, and of two lists takes one.
    """
    if _BODY_TOKEN.findall(body) != [b"merchantIds", *(merchant.encode() for merchant in merchants)]:
        raise InvalidRequest("merchantIds wants one list of ids, each in digits.")


def read_merchant_id(text: str, name: str = "merchantId") -> AccountId:
    """Read a merchant id: 1 to `MAX_MERCHANT_ID`, without sign, space or leading zero. Raises `InvalidRequest`."""
    if not _MERCHANT_ID.fullmatch(text):
        raise InvalidRequest(f"{name} wants digits without sign, space or leading zero, not {text[:32]!r}.")
    if len(text) >= _LONG_ID and int(text) > MAX_MERCHANT_ID:
        raise InvalidRequest(f"{name} {text} is above {MAX_MERCHANT_ID}, the largest that JavaScript reads as itself.")
    return AccountId(text)


def read_merchant_ids(texts: Iterable[str]) -> tuple[AccountId, ...]:
    """Read up to 1,000 merchant ids. Doubled ones count once. Raises `InvalidRequest` for a wrong one or too many."""
    account_ids = tuple(dict.fromkeys(map(read_merchant_id, texts)))
    if not 1 <= len(account_ids) <= MAX_MERCHANTS:
        raise InvalidRequest(f"One can ask for 1 to {MAX_MERCHANTS} merchants in one request.")
    return account_ids


def read_require(text: str | None) -> bool:
    """Read `complete`: the caller wants all or nothing. Raises `InvalidRequest`."""
    if text not in {None, "complete"}:
        raise InvalidRequest("require wants complete.")
    return text is not None


def read_account_id(text: str) -> AccountId:
    """Read a merchant id as the upstream's own endpoint takes it, `0` for all together. Raises `InvalidRequest`."""
    return AGGREGATE if text == AGGREGATE else read_merchant_id(text)


def read_assets(text: str | None) -> frozenset[str] | None:
    """Read a list of asset ids, None for no such parameter. In an id, `%2C` is a comma and `%25` a percent sign.

    Raises `InvalidRequest`.
    """
    if text is None:
        return None
    asset_ids = [_COMMA.sub(",", one).replace("%25", "%") for one in text.split(",")]
    if not (_ASSETS.fullmatch(text) and max(map(len, asset_ids)) <= MAX_NAME_CHARACTERS):
        raise InvalidRequest("assets wants 1 to 100 asset ids of 1 to 256 characters, separated by commas.")
    return frozenset(asset_ids)


def write_assets(asset_ids: Iterable[str]) -> str:
    """Write a list as `read_assets` reads it, equal sets alike."""
    return ",".join(one.replace("%", "%25").replace(",", "%2C") for one in sorted(asset_ids))


def read_flag(name: str, text: str | None) -> bool:
    """Read `true` or `false`, false for no such parameter. Raises `InvalidRequest`."""
    match text:
        case "true":
            return True
        case "false" | None:
            return False
        case _:
            raise InvalidRequest(f"{name} wants true or false.")


def read_format(text: str | None, bom: str | None) -> Format | None:
    """Read the name of a format, None for no such parameter, and whether it begins with a byte order mark.

    Raises `InvalidRequest`.
    """
    if text is None and bom is None:
        return None
    if text not in {None, Format.JSON, Format.CSV, Format.TEXT}:
        raise InvalidRequest("format wants json, csv or text.")
    if bom is not None and text != Format.CSV:
        raise InvalidRequest("bom goes with format=csv.")
    if read_flag("bom", bom):
        return Format.CSV_WITH_BOM
    return None if text is None else Format(text)


def read_sort(text: str | None) -> Sort:
    """Read an order, by merchant for no such parameter. Raises `InvalidRequest`."""
    if text is None:
        return Sort()
    if not _SORT.fullmatch(text):
        raise InvalidRequest("sort wants id or an asset id, with - before it for the largest first.")
    by = text.removeprefix("-")
    return Sort(None if by == _BY_MERCHANT else by, descending=text != by)


def read_search(text: str | None) -> str:
    """Read a search text, in lower case; empty for no such parameter. Raises `InvalidRequest`."""
    if text is not None and not 1 <= len(text) <= MAX_SEARCH:
        raise InvalidRequest(f"search wants 1 to {MAX_SEARCH} characters.")
    return (text or "").casefold()


def read_limit(text: str | None) -> int:
    """Read the size of a page, 100 for no such parameter. Raises `InvalidRequest`."""
    if text is None:
        return _LIMIT_DEFAULT
    if not _LIMIT.fullmatch(text):
        raise InvalidRequest("limit wants a number from 1 to 1000.")
    return int(text)


def read_cursor(text: str) -> tuple[str, int]:
    """Read a cursor: a version of a view, and how many of its items were shown. Raises `InvalidRequest`."""
    if not _CURSOR.fullmatch(text):
        raise InvalidRequest("after wants the next of another page.")
    version, _, shown = text.partition("-")
    return version, int(shown)
