"""The gateway itself: who one is, how it is, and its comparisons."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from tallygate_client.models import Sums


class Finding(Struct, frozen=True, rename="camel"):
    """The verdict on one asset: `match`, `moving`, `mismatch` or `incomplete`."""

    asset_id: str
    verdict: str
    difference: Sums | None = None
    aggregate: Sums | None = None
    sum: Sums | None = None
    partial_sum: Sums | None = None
    merchants: int | None = None


class Reconciliation(Struct, frozen=True, rename="camel"):
    """A comparison of the aggregate with the merchants. `state` is `running`, or how it ended."""

    id: str
    state: str
    started_at: datetime
    look: int
    expected: int
    read: int
    missing: int
    missing_merchants: tuple[int, ...] = ()
    finished_at: datetime | None = None
    detail: str | None = None
    verdicts: dict[str, int] | None = None
    assets: tuple[Finding, ...] = ()


class Quota(Struct, frozen=True):
    """Requests at the same time, and a second; None is unlimited."""

    concurrency: int
    rate: float | None = None


class Me(Struct, frozen=True):
    """The caller: what it may read, how fast, and until when."""

    name: str
    source: Literal["key", "token"]
    merchants: tuple[int, ...] | Literal["all"]
    portfolio: bool
    quota: Quota
    until: datetime | None = None


class Moved(Struct, frozen=True, rename="camel"):
    """What was marked, and when."""

    moved_at: datetime
    merchants: int


class Health(Struct, frozen=True, rename="camel"):
    """The state of the gateway: `alive`, or `ready`, `not ready`, `draining`. `reason` says why its token is refused."""

    status: str = "alive"
    reason: str | None = None
    token: str | None = None
    token_seconds_left: int | None = None
    redis: str | None = None
    callers: int | None = None
