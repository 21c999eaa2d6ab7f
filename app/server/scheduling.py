"""Scheduling of a worker's threads and of its garbage collector."""

import gc
import os
import sys
from contextlib import suppress
from typing import Final

_NEW_OBJECTS_BETWEEN_COLLECTIONS: Final = 10_000
"""A few megabytes of objects."""

_SWITCH_INTERVAL_SECONDS: Final = 0.0001
"""How long a thread waits for the interpreter's lock before it asks for it. Python's default is 5 ms."""


def schedule_as_batch() -> None:
    """Schedule this thread, and the threads that it starts later, by Linux's `SCHED_BATCH`.

    A thread that wakes up then waits until the running one pauses, so that the log's thread and those of blocking calls
    interrupt the event loop less often (docs/decisions/0022-worker-thread-scheduling.md).
    The policy stays unchanged where it is missing or forbidden, or where the operator chose one.

    Such a thread misses the moments in which another one releases the interpreter's lock. The switch interval is
    therefore short, so that no request waits for that lock during long work.
    """
    sys.setswitchinterval(_SWITCH_INTERVAL_SECONDS)
    if sys.platform != "linux" or os.sched_getscheduler(0) != os.SCHED_OTHER:
        return
    with suppress(OSError):  # a sandbox may forbid it
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def tune_garbage_collection() -> None:
    """Exclude all objects that exist now from garbage collection, and collect less often.

    A full collection took 57 ms of CPU with all that was imported. A batch of 1,000 makes tens of thousands of objects,
    none of them garbage: a collection after each 700 took a tenth to a fifth of its CPU.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS_BETWEEN_COLLECTIONS)
