"""Supervisor of the worker processes: it starts them, replaces those that die, and stops all at a signal."""

import os
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any, Final, cast

import structlog
from msgspec import Struct

from app.server.shutdown import END_DRAIN, STOP_SIGNALS

_CRASH_LOOP_SECONDS: Final = 5.5
"""A worker that replaced another one and dies within this time would die again."""

_LAST_SECONDS: Final = 1.0
"""What a worker may take to end after a second signal."""

_READ_BYTES: Final = 4096

log = structlog.get_logger()


class System(Struct, frozen=True):
    """What the supervisor asks of the system."""

    wait: Callable[[Sequence[int], float | None], Iterable[Any]] = wait
    kill: Callable[[int, int], None] = os.kill
    monotonic: Callable[[], float] = time.monotonic


class _Worker(Struct, frozen=True):
    number: int
    process: BaseProcess
    replaced_at: float | None
    """When it replaced another one, in monotonic seconds."""

    @property
    def pid(self) -> int:
        return cast("int", self.process.pid)  # it has started


class Supervisor:
    """Keep `workers` processes, each made by `spawn`, until a signal comes. `signals` is a pipe with a byte for each.

    A worker may take `stop_seconds` to end after the first signal. `on_death` is called before a worker is replaced.
    """

    def __init__(
        self,
        spawn: Callable[[], BaseProcess],
        workers: int,
        signals: int,
        stop_seconds: float,
        on_death: Callable[[], None],
        system: System | None = None,
    ) -> None:
        self._spawn: Final = spawn
        self._count: Final = workers
        self._pipe: Final = signals
        self._stop_seconds: Final = stop_seconds
        self._on_death: Final = on_death
        self._system: Final = system or System()
        self._workers: list[_Worker] = []
        self._signals = 0
        self._is_stopping = False

    def kept_pids(self) -> list[int]:
        """Return the ids of the workers that shall run. While they are stopped, there are none."""
        return [] if self._is_stopping else [worker.pid for worker in self._workers]

    def run(self, on_started: Callable[[], None]) -> int:
        """Start the workers, call `on_started`, and keep them until all have ended. Return the status to exit with."""
        try:
            for number in range(1, self._count + 1):
                self._start(number, None)
            on_started()
            return self._keep()
        finally:
            self._is_stopping = True
            self._stop()

    def _keep(self) -> int:
        """Replace workers that die until a signal comes, or one of them dies again and again."""
        while True:
            ended = self._wait(None)
            if self._signals:  # they may have got it, too
                return 0
            for worker in ended:
                if self._is_in_crash_loop(worker):
                    status = worker.process.exitcode
                    log.error("worker.crash_loop", worker=worker.number, pid=worker.pid, status=status)
                    return 1
                self._replace(worker)

    def _is_in_crash_loop(self, worker: _Worker) -> bool:
        since = worker.replaced_at
        return since is not None and self._system.monotonic() - since <= _CRASH_LOOP_SECONDS

    def _replace(self, worker: _Worker) -> None:
        log.error("worker.died", worker=worker.number, pid=worker.pid, status=worker.process.exitcode)
        self._on_death()
        self._start(worker.number, self._system.monotonic())

    def _start(self, number: int, replaced_at: float | None) -> None:
        self._workers = [*self._workers, _Worker(number, self._spawn(), replaced_at)]

    def _stop(self) -> None:
        """Stop the workers, and kill those that take too long."""
        self._signal_all(signal.SIGTERM)
        until = self._system.monotonic() + self._stop_seconds
        is_cut_off = False
        while self._workers and (seconds := until - self._system.monotonic()) > 0:
            if self._signals > 1 and not is_cut_off:
                is_cut_off = True
                log.warning("server.cut_off", seconds=_LAST_SECONDS)
                self._signal_all(END_DRAIN)
                seconds = min(seconds, _LAST_SECONDS)
                until = self._system.monotonic() + seconds
            self._wait(seconds)
        for worker in self._workers:
            if not is_cut_off:
                log.warning("worker.killed", worker=worker.number, pid=worker.pid, seconds=self._stop_seconds)
        self._signal_all(signal.SIGKILL)
        while self._workers:
            self._wait(None)

    def _signal_all(self, number: int) -> None:
        for worker in self._workers:  # one that has ended keeps its id until it is joined, by us alone
            self._system.kill(worker.pid, number)

    def _wait(self, seconds: float | None) -> list[_Worker]:
        """Wait for signals or the end of a worker. Count the signals, and return the workers that have ended."""
        ready = set(self._system.wait([self._pipe, *(one.process.sentinel for one in self._workers)], seconds))
        with suppress(BlockingIOError):
            self._signals += sum(number in STOP_SIGNALS for number in os.read(self._pipe, _READ_BYTES))
        ended = [one for one in self._workers if one.process.sentinel in ready]
        for one in ended:
            one.process.join()
        self._workers = [one for one in self._workers if one not in ended]
        return ended
