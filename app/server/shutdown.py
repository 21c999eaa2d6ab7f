"""How the server is told to stop: with a first signal it drains, with a second one it ends at once, and no signal is lost."""

import asyncio
import itertools
import os
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import structlog
from granian.server.mp import MPServer, WorkerProcess

from app.resilience.draining import Drain

AT_ONCE: Final = signal.SIGUSR2
"""Tells a worker to drain no longer."""

_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_SETTLE_SECONDS: Final = 0.1

_LAST_SECONDS: Final = 1.0
"""What a worker may take to end after a second signal."""

log = structlog.get_logger()


def handle_signals_in_parent(server: MPServer) -> None:
    """Wait for the signals in a thread of their own: the main thread may sleep through one that another thread got.

    The first one lets the workers drain, a second one ends them.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)

    def wait() -> None:
        signal.sigwait(_STOP_SIGNALS)
        workers = list(server.wrks)
        for worker in workers:
            worker.interrupt_by_parent = True  # one that ends now was signalled together with us
        server.signal_handler_interrupt()  # type: ignore[no-untyped-call]
        signal.sigwait(_STOP_SIGNALS)
        log.warning("server.cut_off", seconds=_LAST_SECONDS)
        _signal_all(workers, AT_ONCE)
        time.sleep(_LAST_SECONDS)
        _signal_all(workers, signal.SIGKILL)

    threading.Thread(target=wait, name="stop-watch", daemon=True).start()


def _signal_all(workers: list[WorkerProcess], number: signal.Signals) -> None:
    for worker in workers:
        if worker.inner.is_alive():
            os.kill(worker.inner.pid, number)


def handle_signals_in_worker(loop: asyncio.AbstractEventLoop, drain: Drain, drain_seconds: float) -> None:
    """Replace the handlers that the server is about to set for a worker: both signals count as one, and none is lost.

    uvloop loses a signal that comes while it does not run, as between the application's start and the first request;
    Python's own handlers do not.
    """
    ending = _Shutdown(loop, drain, drain_seconds)
    begin = _only_first(ending.begin)

    def add_signal_handler(number: int, handler: Callable[..., object], *arguments: Any) -> None:
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(begin, partial(handler, *arguments)))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])

    signal.signal(AT_ONCE, lambda *_: loop.call_soon_threadsafe(ending.hurry))
    loop.add_signal_handler = add_signal_handler  # type: ignore[method-assign, assignment]


class _Shutdown:
    """Drain for so long before the server is told to stop, and at least a moment, so that it is there to hear it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, drain: Drain, drain_seconds: float) -> None:
        self._loop: Final = loop
        self._drain: Final = drain
        self._seconds = drain_seconds
        self._stop: Callable[[], object] | None = None

    def begin(self, stop: Callable[[], object]) -> None:
        """Begin to drain; `stop` tells the server."""
        self._stop = _only_first(stop)
        self._drain.begin()
        log.info("server.draining", seconds=self._seconds, pid=os.getpid())
        self._loop.call_later(max(self._seconds, _SETTLE_SECONDS), self._stop)

    def hurry(self) -> None:
        """Drain no longer, also if that has not begun yet."""
        self._seconds = 0.0
        if self._stop is not None:
            self._loop.call_later(_SETTLE_SECONDS, self._stop)


def _only_first(handler: Callable[..., object]) -> Callable[..., None]:
    """Pass on the first call only.

    Ctrl-C reaches the parent and the workers, and the parent then signals the workers too. The server's handlers
    (granian 2.8.7) can lock themselves up for ever when they are called while they run.
    """
    calls = itertools.count()

    def handle(*arguments: Any) -> None:
        if next(calls) == 0:
            handler(*arguments)

    return handle
