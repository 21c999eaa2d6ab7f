"""A worker that has ended is not killed, although another thread of granian's asked the system for its status."""

import os
from typing import Any

from granian.server import mp

from app.server.workers import _ReportingServer


class Ended:
    """A process that has ended, whose status the other thread makes known a moment later."""

    pid = 0

    def __init__(self, looks: int) -> None:
        self.sentinel, end = os.pipe()
        os.close(end)  # it is readable, as that of a process that has ended
        self.looks = looks
        self.was_killed = False

    @property
    def exitcode(self) -> int | None:
        self.looks -= 1
        return None if self.looks > 0 else 0

    def is_alive(self) -> bool:
        return self.exitcode is None

    def join(self, timeout: float | None = None) -> None:
        """Return, as `Process.join` does in that case."""

    def terminate(self) -> None:
        """Do nothing to a process that has ended."""

    def kill(self) -> None:
        self.was_killed = True


def test_the_status_of_a_worker_that_has_ended_is_waited_for() -> None:
    server: Any = _ReportingServer("tallygate", workers_kill_timeout=10)
    worker: Any = mp.WorkerProcess(server, 0, print, ())  # type: ignore[no-untyped-call]
    worker.inner = process = Ended(looks=50)
    server.wrks.append(worker)
    server._stop_workers()
    os.close(process.sentinel)
    assert not process.was_killed
    assert server.wrks == []
