"""Refusals: what Redis does not do, and why. Its state decides whether other connections may help."""

import asyncio
import re
from typing import Any, Final

from redis.exceptions import ResponseError

_CODE: Final = re.compile(
    r"(?<![A-Z])(READONLY|MISCONF|LOADING|MASTERDOWN|CLUSTERDOWN|NOREPLICAS|OOM|NOPERM|CROSSSLOT|WRONGTYPE|MOVED)\b"
)
"""Codes of errors, which stand first or, where Redis 6.2 reports an error of a script, somewhere within."""

_FIRST_WORD: Final = re.compile(r"([A-Z]{2,20})(?![^ ])")
"""Any other code, such as BUSY, by which an operator finds the cause."""

_CODES_OF_STATE: Final = frozenset({"READONLY", "MISCONF", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "NOREPLICAS", "OOM"})
_RECOVERY_SECONDS: Final = 1.0


def error_code(error: Exception) -> str | None:
    """Return the code by which Redis says why, None where there is none."""
    given = getattr(error, "status_code", None)
    text = f"{given or ''} {error}".lstrip()
    found = _CODE.search(text) or _FIRST_WORD.match(text)
    return found[1] if found else None


def is_of_server_state(error: Exception) -> bool:
    """Say whether a server refuses because of its state: a promoted one, at the same name, may not."""
    return error_code(error) in _CODES_OF_STATE


class Refusals:
    """Remember whether Redis refuses commands, and log when that begins and ends.

    A success ends it if nothing was refused for a while: a write that was sent before a refusal may succeed after it.
    When nearly full, Redis accepts some writes.
    """

    def __init__(self, timeout_seconds: float, log: Any) -> None:
        self._log: Final = log
        self._recovery_seconds: Final = max(_RECOVERY_SECONDS, 2 * timeout_seconds)
        self._refused_at: float | None = None

    @property
    def are_recent(self) -> bool:
        """Whether Redis refuses commands, as far as is known."""
        return self._refused_at is not None

    def record_refusal(self, error: ResponseError) -> None:
        """Record that Redis refused a command."""
        if self._refused_at is None:
            self._log.warning("redis.refuses", error=type(error).__name__, code=error_code(error))
        self._refused_at = _now()

    def record_accepted(self) -> None:
        """Record that Redis accepted a write."""
        if self._refused_at is not None and _now() - self._refused_at >= self._recovery_seconds:
            self._refused_at = None
            self._log.warning("redis.accepts")


def _now() -> float:
    return asyncio.get_running_loop().time()
