"""Audit log: refusals, and optionally answers, by caller. It contains no amount and no credential."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog
from msgspec import Struct

from app.resilience.rate_limiter import RateLimiter

LINES_AT_ONCE: Final = 60
MAX_CALLERS: Final = 1_000

_LINES_PER_SECOND: Final = 1.0
_REFUSED_STATUSES: Final = frozenset({401, 403, 429})

log = structlog.get_logger()


class _LineQuota(Struct):
    """The lines that one caller may still have, and how many were dropped since the last one."""

    rate: RateLimiter
    unwritten: int = 0


class Audit:
    """Log refusals: bursts of 60 lines for each caller, then one a second, with the number of dropped lines.

    All unknown callers share one quota, so that they cannot crowd out the refusals of others. With `answers`, every
    answer to a known caller has a line too. `monotonic` gives seconds.
    """

    def __init__(self, monotonic: Callable[[], float], *, refusals: bool, answers: bool = False) -> None:
        self.logs_all: Final = answers
        self._logs_refusals: Final = refusals
        self._monotonic: Final = monotonic
        self._quotas: Final[OrderedDict[str | None, _LineQuota]] = OrderedDict()

    def record(self, caller: str | None, status: int, about: Callable[[], Mapping[str, Any]]) -> None:
        """Log a request if it is of an audited kind. `caller` is None if it is unknown; `about` gives more fields."""
        if status in _REFUSED_STATUSES:
            if self._logs_refusals:
                self._record_refusal(caller, status, about())
        elif self.logs_all and caller is not None:
            log.info("audit.answered", caller=caller, status=status, **about())

    def record_end(self, caller: str, path: str, seconds: float) -> None:
        """Log that a stream of a known caller has ended, if every answer is logged."""
        if self.logs_all:
            log.info("audit.stream_ended", caller=caller, path=path, seconds=round(seconds, 3))

    def _record_refusal(self, caller: str | None, status: int, about: Mapping[str, Any]) -> None:
        quota = self._quota_of(caller)
        if quota.rate.acquire(self._monotonic()) > 0:
            quota.unwritten += 1
            return
        unwritten = {"unwritten": quota.unwritten} if quota.unwritten else {}
        quota.unwritten = 0
        log.info("audit.refused", caller=caller, status=status, **about, **unwritten)

    def _quota_of(self, caller: str | None) -> _LineQuota:
        quota = self._quotas.get(caller)
        if quota is None:
            quota = self._quotas[caller] = _LineQuota(RateLimiter(_LINES_PER_SECOND, LINES_AT_ONCE))
            if len(self._quotas) > MAX_CALLERS:
                self._quotas.popitem(last=False)
        self._quotas.move_to_end(caller)
        return quota
