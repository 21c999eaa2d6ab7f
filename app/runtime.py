"""What surrounds every part: clocks, chance, metrics, traces. Settings stay out of it: they are what we are told."""

import random
import time
from collections.abc import Callable

from msgspec import Struct

from app.clock import unix_ms
from app.telemetry.metrics import Metrics
from app.telemetry.traces import Traces


class Runtime(Struct, frozen=True, kw_only=True):
    """The surroundings of a replica.

    `unix_ms` gives Unix time in milliseconds, `monotonic` seconds that only grow, `random` numbers in [0, 1).
    """

    metrics: Metrics
    traces: Traces
    unix_ms: Callable[[], int] = unix_ms
    monotonic: Callable[[], float] = time.monotonic
    random: Callable[[], float] = random.random
