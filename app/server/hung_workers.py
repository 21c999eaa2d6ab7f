"""Hung workers: found by their silence, and killed so that the supervisor replaces them."""

import os
import signal
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Final

import structlog

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


def replace_hung_workers(kept_pids: Callable[[], Collection[int]], heard: Callable[[], Mapping[int, float]]) -> None:
    """Look each second, in a thread, and kill each worker that hangs, of those that shall run.

    SIGKILL alone ends a process that is stopped. The supervisor sees a worker that died, and starts another one.
    """

    def watch() -> None:
        silences = SilenceWatch()
        while True:
            time.sleep(_LOOK_SECONDS)
            hung = silences.look(heard())
            for pid in set(hung).intersection(kept_pids()):
                log.error("worker.hung", pid=pid, seconds=SILENT_LOOKS * _LOOK_SECONDS)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    threading.Thread(target=watch, name="silence-watch", daemon=True).start()
