"""Answers of the cache: an entry, and how it was obtained."""

from enum import StrEnum

from msgspec import Struct

from app.balances.snapshots import Entry
from app.errors import TallygateError


class Source(StrEnum):
    """Where an answer came from."""

    MEMORY = "memory"
    REDIS = "redis"
    FETCHED = "fetched"
    COLLAPSED = "collapsed"


class Served(Struct, frozen=True, gc=False):
    """An answer: the entry, its source, whether it is stale, and the failure that it replaces.

    It is untracked by the garbage collector, so nothing that it refers to may refer back to it.
    """

    entry: Entry
    source: Source
    is_stale: bool = False
    covered_error: TallygateError | None = None


def source_of(fetch_began_at: int | None, *, was_under_way: bool) -> Source:
    """Name the source of an entry that was waited for: a store, our own fetch, or one that was under way already."""
    if fetch_began_at is None:
        return Source.REDIS
    return Source.COLLAPSED if was_under_way else Source.FETCHED


def served_instead(entry: Entry, error: TallygateError) -> Served:
    """Serve a stale entry in place of an error."""
    return Served(entry, Source.MEMORY, is_stale=True, covered_error=error)
