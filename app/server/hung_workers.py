"""Hung workers: found by their silence, and killed so that granian replaces them."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Final

import structlog
from granian.server.mp import WorkerProcess

SILENT_LOOKS: Final = 8
"""A worker that shared nothing new during so many looks hangs: it shares once a second."""

_LOOK_SECONDS: Final = 1.0

log = structlog.get_logger()


class SilenceWatch:
    """Count for each process how many looks in a row found nothing new of it.

    Looks are counted, not seconds: a machine that stood still stopped this process as well, which then accuses nobody.
    """

    def __init__(self) -> None:
        self._silences: dict[int, tuple[float, int]] = {}

    def look(self, heard: Mapping[int, float]) -> list[int]:
        """Return the processes that hang. `heard` gives when each last shared; one that never did is not judged."""
        self._silences = {pid: (at, self._count(pid, at)) for pid, at in heard.items()}
        return [pid for pid, (_, looks) in self._silences.items() if looks >= SILENT_LOOKS]

    def _count(self, pid: int, at: float) -> int:
        before, looks = self._silences.get(pid, (at, -1))
        return looks + 1 if before == at else 0


def replace_hung_workers(
    workers: Callable[[], Iterable[WorkerProcess]], heard: Callable[[], Mapping[int, float]]
) -> None:
    """Look each second, in a thread, and kill each worker that hangs. One that was stopped by its parent is left alone.

    SIGKILL alone ends a process that is stopped. The server sees a worker that died, and starts another one.
    """

    def watch() -> None:
        silences = SilenceWatch()
        while True:
            time.sleep(_LOOK_SECONDS)
            hung = set(silences.look(heard()))
            for worker in list(workers()):
                if worker.inner.pid in hung and not worker.interrupt_by_parent:
                    log.error("worker.hung", pid=worker.inner.pid, seconds=SILENT_LOOKS * _LOOK_SECONDS)
                    with suppress(ProcessLookupError):
                        os.kill(worker.inner.pid, signal.SIGKILL)

    threading.Thread(target=watch, name="silence-watch", daemon=True).start()
