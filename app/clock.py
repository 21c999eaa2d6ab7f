"""The one wall clock of every age and every `asOf`, so that all agree on the millisecond."""

import time


def unix_ms() -> int:
    """Return the time in Unix milliseconds, truncated."""
    return time.time_ns() // 1_000_000
