"""Content codings: which ones a caller prefers (RFC 9110, 12.5.3), and the encoded bytes."""

import gzip
import re
import sys
from enum import StrEnum
from functools import lru_cache
from typing import Final, assert_never

import brotli  # type: ignore[import-untyped]  # it has no stubs

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


class Coding(StrEnum):
    """The supported codings. The one that makes balances smallest comes first."""

    BR = "br"
    ZSTD = "zstd"
    GZIP = "gzip"
    IDENTITY = "identity"


_ELEMENT: Final = re.compile(
    r"[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*(?:;[ \t]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*)?"
)
_UNNAMED_IDENTITY: Final = 0.0001
"""The weight of an unnamed identity: below the least weight that can be named, 0.001."""


@lru_cache(256)
def read_wanted(accept_encoding: str | None) -> tuple[Coding, ...]:
    """Return the codings that a request accepts, best first. None stands for a missing header.

    An unreadable element is ignored: at worst the answer is larger.
    """
    if accept_encoding is None:
        return (Coding.IDENTITY,)
    weights: dict[str, float] = {}
    for element in accept_encoding.split(","):
        if match := _ELEMENT.fullmatch(element):
            weights[match[1].lower()] = float(match[2] or 1)
    if "x-gzip" in weights:
        weights.setdefault(Coding.GZIP, weights["x-gzip"])
    weighed = {coding: _weigh(coding, weights) for coding in Coding}
    return tuple(sorted((coding for coding in Coding if weighed[coding] > 0), key=lambda coding: -weighed[coding]))


def _weigh(coding: Coding, weights: dict[str, float]) -> float:
    if coding in weights:
        return weights[coding]
    if coding is Coding.IDENTITY:
        return 0 if weights.get("*") == 0 else _UNNAMED_IDENTITY
    return weights.get("*", 0)


def encode(body: bytes, coding: Coding) -> bytes:
    """Encode a body. Beyond these levels, time grows faster than the body shrinks."""
    match coding:
        case Coding.BR:
            return bytes(brotli.compress(body, quality=5))
        case Coding.ZSTD:
            return zstd.compress(body, 6)
        case Coding.GZIP:
            return gzip.compress(body, 6, mtime=0)
        case Coding.IDENTITY:
            return body
        case _:
            assert_never(coding)
