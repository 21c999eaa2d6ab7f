"""The audit: who was refused what, and, if that is wanted, who was told what. Never an amount, never a credential."""

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
    """The lines that one caller may still have, and how many it lacked since the last one."""

    rate: RateLimiter
    unwritten: int = 0


class Audit:
    """Write down refusals: 60 lines at once for each caller, then one a second, with the number of those that it lacked.

    All who are not known count as one caller, so that they crowd out the refusals of nobody else. Where all is audited,
    what callers were told has a line as well, each. `monotonic` gives seconds.
    """

    def __init__(self, monotonic: Callable[[], float], *, refusals: bool, answers: bool = False) -> None:
        self.logs_all: Final = answers
        self._hears_refusals: Final = refusals
        self._monotonic: Final = monotonic
        self._spaces: Final[OrderedDict[str | None, _LineQuota]] = OrderedDict()

    def record(self, caller: str | None, status: int, about: Mapping[str, Any]) -> None:
        """Write down a request of a caller, None if it is not known, if it is one of those that are."""
        if status in _REFUSED_STATUSES:
            if self._hears_refusals:
                self._record_refusal(caller, status, about)
        elif self.logs_all and caller is not None:
            log.info("audit.answered", caller=caller, status=status, **about)

    def _record_refusal(self, caller: str | None, status: int, about: Mapping[str, Any]) -> None:
        space = self._quota_of(caller)
        if space.rate.acquire(self._monotonic()) > 0:
            space.unwritten += 1
            return
        unwritten = {"unwritten": space.unwritten} if space.unwritten else {}
        space.unwritten = 0
        log.info("audit.refused", caller=caller, status=status, **about, **unwritten)

    def _quota_of(self, caller: str | None) -> _LineQuota:
        space = self._spaces.get(caller)
        if space is None:
            space = self._spaces[caller] = _LineQuota(RateLimiter(_LINES_PER_SECOND, LINES_AT_ONCE))
            if len(self._spaces) > MAX_CALLERS:
                self._spaces.popitem(last=False)
        self._spaces.move_to_end(caller)
        return space
