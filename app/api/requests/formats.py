"""Formats: JSON for programs, tables for people, by what a request prefers."""

import re
from enum import StrEnum
from functools import lru_cache
from typing import Final


class Format(StrEnum):
    """How an answer is written. What stands first is given to a request that likes several alike."""

    JSON = "json"
    TEXT = "text"
    CSV = "csv"


MEDIA_TYPES: Final = {
    Format.JSON: "application/json",
    Format.TEXT: "text/plain; charset=utf-8",
    Format.CSV: "text/csv; charset=utf-8; header=present",
}

_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_OTHERS: Final = r"(?:;(?![ \t]*[qQ][ \t]*=)[^;]*)*"
_RANGE: Final = re.compile(
    rf"[ \t]*({_WORD}/{_WORD})[ \t]*{_OTHERS}(?:;[ \t]*[qQ]=(0(?:\.[0-9]{{0,3}})?|1(?:\.0{{0,3}})?)[ \t]*)?{_OTHERS}"
)


@lru_cache(256)
def choose_format(accept: str | None) -> Format:
    """Choose what an Accept header likes best (RFC 9110, 12.5.1). None is a request that says nothing.

    Where it takes none of ours it is JSON all the same: what a client library sends unasked shall keep nobody from its
    balances. A range that cannot be read is passed over, and parameters other than the weight are not heeded.
    """
    weights: dict[str, float] = {}
    for element in (accept or "*/*").split(","):
        if match := _RANGE.fullmatch(element):
            weights[match[1].lower()] = float(match[2] or 1)
    return max(Format, key=lambda form: _weigh(MEDIA_TYPES[form].partition(";")[0], weights))


def _weigh(media_type: str, weights: dict[str, float]) -> float:
    """Weigh a media type by the most specific range that takes it."""
    ranges = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
    return next((weights[each] for each in ranges if each in weights), 0)
