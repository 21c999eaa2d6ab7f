"""Prefer of requests (RFC 7240): how long a caller would wait. What is unknown or wrong is ignored, as the RFC wants."""

import re
from typing import Final

LONGEST_WAIT_SECONDS: Final = 25

_WAIT: Final = re.compile(r"[ \t]*wait[ \t]*=[ \t]*\"?([0-9]{1,9})\"?[ \t]*(?:;.*)?", re.IGNORECASE)


def read_wait_seconds(prefer: str | None) -> int | None:
    """Return the seconds that a caller would wait, at most 25, None if it would not. The first preference counts."""
    for preference in (prefer or "").split(","):
        if match := _WAIT.fullmatch(preference):
            return min(int(match[1]), LONGEST_WAIT_SECONDS) or None
    return None


def applied(seconds: int) -> tuple[str, str]:
    """Return the header that says so."""
    return "Preference-Applied", f"wait={seconds}"
