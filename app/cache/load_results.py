"""Results of a load: an entry, or why there is none."""

from msgspec import Struct

from app.balances.snapshots import Entry
from app.errors import TallygateError


class Loaded(Struct, frozen=True, gc=False):
    """An entry. `fetch_began_at` (Unix ms) is when we asked the upstream, None if it came from Redis or the bus."""

    entry: Entry
    fetch_began_at: int | None


class LoadFailed(Struct, frozen=True):
    """Why there is no entry."""

    error: TallygateError


class NoPermit(LoadFailed, frozen=True):
    """No call was made: the budget had no permit for a sweep, which may not wait for one. It says nothing of the account."""


LoadResult = Loaded | LoadFailed
