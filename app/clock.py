"""The clock of which every age and every `asOf` is made: one, so that no two disagree about which millisecond it is."""

import time


def unix_ms() -> int:
    """Tell the time in Unix milliseconds, cut, not rounded."""
    return time.time_ns() // 1_000_000
