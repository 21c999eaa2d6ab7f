"""Shutdown by signals: the first one drains, a second one ends the processes within a second. No signal is lost."""

import asyncio
import itertools
import os
import signal
import threading
import time
from collections.abc import Callable
from contextvars import Context
from functools import partial
from typing import Any, Final

import structlog
from granian.server.mp import MPServer, WorkerProcess

from app.resilience.draining import Drain

END_DRAIN: Final = signal.SIGUSR2
"""Ends a worker's drain."""

_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

_MIN_DRAIN_SECONDS: Final = 0.1
"""How long a worker runs at least after a signal: granian must already listen when it is stopped."""

_LAST_SECONDS: Final = 1.0
"""What a worker may take to end after a second signal."""

log = structlog.get_logger()


def handle_signals_in_parent(server: MPServer) -> None:
    """Wait for signals in a thread. The main thread may sleep through a signal that another thread received.

    The first one lets the workers drain, a second one ends them.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)

    def wait() -> None:
        signal.sigwait(_STOP_SIGNALS)
        workers = list(server.wrks)
        for worker in workers:
            worker.interrupt_by_parent = True  # a worker that ends now got the signal together with the parent
        server.signal_handler_interrupt()  # type: ignore[no-untyped-call]
        signal.sigwait(_STOP_SIGNALS)
        log.warning("server.cut_off", seconds=_LAST_SECONDS)
        _signal_all(workers, END_DRAIN)
        time.sleep(_LAST_SECONDS)
        _signal_all(workers, signal.SIGKILL)

    threading.Thread(target=wait, name="signal-watch", daemon=True).start()


def _signal_all(workers: list[WorkerProcess], number: signal.Signals) -> None:
    for worker in workers:
        if worker.inner.is_alive():
            os.kill(worker.inner.pid, number)


def handle_signals_in_worker(
    loop: asyncio.AbstractEventLoop, drain: Drain, drain_seconds: float, stopped: Callable[[], None]
) -> None:
    """Replace the handlers that granian is about to set on `loop`. Both signals together count as one.

    After the drain the server is stopped, and then `stopped` is called. Both run in a context of their own, since a
    signal may interrupt any request.

    uvloop loses a signal that arrives while it does not run, for example between the application's start and the first
    request. Python's own handlers lose none.
    """
    shutdown = _Shutdown(loop, drain, drain_seconds, stopped)
    begin = _only_first(shutdown.begin)
    call_soon = partial(loop.call_soon_threadsafe, context=Context())

    def add_signal_handler(number: int, handler: Callable[..., object], *arguments: Any) -> None:
        signal.signal(number, lambda *_: call_soon(begin, partial(handler, *arguments)))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])

    signal.signal(END_DRAIN, lambda *_: call_soon(shutdown.end_drain))
    loop.add_signal_handler = add_signal_handler  # type: ignore[method-assign, assignment]


class _Shutdown:
    """A drain, and then the server's stop. `drain_seconds` are raised to `_MIN_DRAIN_SECONDS`."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, drain: Drain, drain_seconds: float, stopped: Callable[[], None]
    ) -> None:
        self._loop: Final = loop
        self._drain: Final = drain
        self._seconds = drain_seconds
        self._stopped: Final = stopped
        self._stop: Callable[[], object] | None = None

    def begin(self, stop: Callable[[], object]) -> None:
        """Begin to drain. `stop` is called once, at the end of the drain."""
        self._stop = _only_first(lambda: (stop(), self._stopped()))
        self._drain.begin()
        log.info("server.draining", seconds=self._seconds, pid=os.getpid())
        self._loop.call_later(max(self._seconds, _MIN_DRAIN_SECONDS), self._stop)

    def end_drain(self) -> None:
        """Cut the drain short, also if it begins later."""
        self._seconds = 0.0
        if self._stop is not None:
            self._loop.call_later(_MIN_DRAIN_SECONDS, self._stop)


def _only_first(handler: Callable[..., object]) -> Callable[..., None]:
    """Pass on the first call only.

    Ctrl-C reaches parent and workers, and the parent then signals the workers too. granian's handlers (2.8.7) can
    deadlock when one is called while it runs.
    """
    calls = itertools.count()

    def handle(*arguments: Any) -> None:
        if next(calls) == 0:
            handler(*arguments)

    return handle
