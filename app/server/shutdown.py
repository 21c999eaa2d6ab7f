"""Shutdown by signals: the first one drains, a second one ends the processes within a second. No signal is lost."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from functools import partial
from typing import Final

import structlog

from app.resilience.draining import Drain

END_DRAIN: Final = signal.SIGUSR2
"""Ends a worker's drain."""

STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_HANDLED: Final = (*STOP_SIGNALS, END_DRAIN)

log = structlog.get_logger()


def hear_stop_signals() -> int:
    """Write each signal into a pipe, as a byte, from now on. Return the pipe's reading end, which never blocks.

    The handler in C writes, in whichever thread a signal arrives: the main thread may wait, and misses none. The main
    thread calls this. Signals have no other effect from then on.
    """
    reading, writing = os.pipe()
    for end in (reading, writing):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: None)
    return reading


def ignore_stop_signals() -> None:
    """Ignore signals until this process ends. Python restores the system's handlers before, where it had its own."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def signals_held() -> Iterator[None]:
    """Hold the signals of this process, and of those that start meanwhile, which have no handlers of their own yet."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def handle_signals_in_worker(
    loop: asyncio.AbstractEventLoop, drain: Drain, drain_seconds: float, stop: Callable[[], object]
) -> None:
    """Drain at the first signal, and call `stop` after `drain_seconds`, or at `END_DRAIN`. `stop` may be called twice.

    Ctrl-C reaches parent and workers, and the parent then signals the workers too: all signals together count as one.
    They are handled in a context of their own, since a signal may interrupt any request.

    uvloop loses a signal that arrives while it does not run, for example before the application's start. Python's own
    handlers lose none. Signals that were held since this process began arrive now.
    """
    signal.set_wakeup_fd(-1)  # it may be that of the parent, which would take our signals for its own
    shutdown = _Shutdown(loop, drain, drain_seconds, stop)
    call_soon = partial(loop.call_soon_threadsafe, context=Context())
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: call_soon(shutdown.begin))
    signal.signal(END_DRAIN, lambda *_: call_soon(shutdown.end_drain))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)


class _Shutdown:
    """A drain, and then the server's stop."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, drain: Drain, drain_seconds: float, stop: Callable[[], object]
    ) -> None:
        self._loop: Final = loop
        self._drain: Final = drain
        self._seconds = drain_seconds
        self._stop: Final = stop

    def begin(self) -> None:
        """Begin to drain, the first time."""
        if self._drain.is_on:
            return
        self._drain.begin()
        log.info("server.draining", seconds=self._seconds, pid=os.getpid())
        self._loop.call_later(self._seconds, self._stop)

    def end_drain(self) -> None:
        """Cut the drain short, also if it begins later."""
        self._seconds = 0.0
        if self._drain.is_on:
            self._stop()
