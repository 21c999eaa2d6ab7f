"""Runtime: what surrounds every part, which is clocks, chance, metrics and traces. Settings are no part of it."""

import random
import time
from collections.abc import Callable

from msgspec import Struct, field

from app.clock import unix_ms
from app.telemetry.metrics import Metrics
from app.telemetry.traces import Traces


class Runtime(Struct, frozen=True, kw_only=True):
    """The surroundings of a replica. By default, the real clocks and chance, and metrics that nobody reads.

    `unix_ms` gives Unix time in milliseconds, `monotonic` seconds that only grow, `random` numbers in [0, 1).
    """

    metrics: Metrics = field(default_factory=Metrics)
    traces: Traces = field(default_factory=Traces)
    unix_ms: Callable[[], int] = unix_ms
    monotonic: Callable[[], float] = time.monotonic
    random: Callable[[], float] = random.random
