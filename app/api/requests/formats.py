"""Formats: JSON for programs, tables for people, chosen by Accept."""

import re
from enum import StrEnum
from functools import lru_cache
from typing import Final


class Format(StrEnum):
    """The formats of answers. The first one wins among those that a request prefers equally."""

    JSON = "json"
    TEXT = "text"
    CSV = "csv"
    CSV_WITH_BOM = "csv-with-bom"
    """For Excel, which takes CSV without a byte order mark for another encoding. No Accept header asks for it."""


MEDIA_TYPES: Final = {
    Format.JSON: "application/json",
    Format.TEXT: "text/plain; charset=utf-8",
    Format.CSV: "text/csv; charset=utf-8; header=present",
    Format.CSV_WITH_BOM: "text/csv; charset=utf-8; header=present",
}

_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_OTHERS: Final = r"(?:;(?![ \t]*[qQ][ \t]*=)[^;]*)*"
_RANGE: Final = re.compile(
    rf"[ \t]*({_WORD}/{_WORD})[ \t]*{_OTHERS}(?:;[ \t]*[qQ]=(0(?:\.[0-9]{{0,3}})?|1(?:\.0{{0,3}})?)[ \t]*)?{_OTHERS}"
)


@lru_cache(256)
def choose_format(accept: str | None) -> Format:
    """Choose the format that an Accept header prefers (RFC 9110, 12.5.1). None stands for a missing header.

    A header that accepts none of ours gets JSON: client libraries send some unasked. An unreadable range is ignored, and
    so are parameters other than the weight.
    """
    weights = _read_weights(accept)
    return max(Format, key=lambda each: _weigh(MEDIA_TYPES[each].partition(";")[0], weights))


class StreamFormat(StrEnum):
    """The formats of streams. The first one wins among those that a request prefers equally, or does not accept."""

    EVENTS = "events"
    JSONL = "jsonl"
    TEXT = "text"


STREAM_TYPES: Final = {
    StreamFormat.EVENTS: "text/event-stream",
    StreamFormat.JSONL: "application/jsonl",
    StreamFormat.TEXT: "text/plain; charset=utf-8",
}


def choose_stream_format(accept: str | None) -> StreamFormat:
    """Choose the format of a stream that an Accept header prefers. None stands for a missing header."""
    weights = _read_weights(accept)
    return max(StreamFormat, key=lambda each: _weigh(STREAM_TYPES[each].partition(";")[0], weights))


def _read_weights(accept: str | None) -> dict[str, float]:
    weights: dict[str, float] = {}
    for element in (accept or "*/*").split(","):
        if match := _RANGE.fullmatch(element):
            weights[match[1].lower()] = float(match[2] or 1)
    return weights


def _weigh(media_type: str, weights: dict[str, float]) -> float:
    """Weigh a media type by the most specific range that matches."""
    ranges = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
    return next((weights[each] for each in ranges if each in weights), 0)
