"""Moments in queries (RFC 3339), and how long a request waits (RFC 7240)."""

import re
from datetime import datetime, timedelta
from typing import Final

from app.errors import InvalidRequest

MOMENT_PATTERN: Final = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)
LONGEST_WAIT_SECONDS: Final = 25

_MOMENT: Final = re.compile(MOMENT_PATTERN)
_WAIT: Final = re.compile(r'wait\s*=\s*"?([0-9]{1,9})"?', re.IGNORECASE)
_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_MILLISECOND: Final = timedelta(milliseconds=1)


def read_moment(name: str, text: str | None) -> int | None:
    """Read a moment as Unix milliseconds, rounded down; None for no such parameter. Raises `InvalidRequest`."""
    if text is None:
        return None
    try:
        passed = datetime.fromisoformat(text.upper()) - _EPOCH if _MOMENT.fullmatch(text) else -_MILLISECOND
    except (ValueError, OverflowError):
        passed = -_MILLISECOND
    found = passed // _MILLISECOND
    if found < 0:
        hint = " A query needs + as %2B." if " " in text else ""
        raise InvalidRequest(f"{name} wants a time like 2026-11-25T17:00:00.000Z.{hint}")
    return found


def read_past_moment(text: str, now: int) -> int:
    """Read `at` as Unix milliseconds. Raises `InvalidRequest` for a time to come."""
    found = read_moment("at", text)
    if found is None or found > now:
        raise InvalidRequest("at wants a time that has been.")
    return found


def read_wait(prefer: str | None) -> int:
    """Read for how many seconds a request waits, from `Prefer: wait=`: 1 to 25, or 0 if it does not.

    Other preferences are ignored, and a longer wait is cut (RFC 7240, section 2).
    """
    for preference in (prefer or "").split(","):
        match = _WAIT.fullmatch(preference.partition(";")[0].strip())
        if match is not None:
            return min(int(match[1]), LONGEST_WAIT_SECONDS)
    return 0
