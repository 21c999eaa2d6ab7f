"""An event loop whose clock jumps to the next timer as soon as nothing is left to do: hours pass in no time."""

import asyncio
import selectors
from collections.abc import Callable
from typing import Any

from app.runtime import Runtime


class _Selector(selectors.DefaultSelector):
    """Let virtual time pass where a real selector would wait."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if not events and timeout is None:
            raise RuntimeError("everybody waits and nothing will ever happen")
        if not events and timeout is not None:
            self.now += timeout
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """Run tasks, `asyncio.sleep` and `asyncio.timeout` in virtual time. Not for real sockets or processes."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


VIRTUAL_TIME: tuple[str, dict[str, Any]] = ("asyncio", {"loop_factory": VirtualLoop})


def monotonic() -> float:
    """Tell the virtual time in seconds."""
    return asyncio.get_running_loop().time()


def unix_ms() -> int:
    """Tell the virtual time as Unix milliseconds: the loop began in September 2001."""
    return 1_000_000_000_000 + round(monotonic() * 1000)


def virtual_runtime(random: Callable[[], float] = lambda: 0.0, **changed: Any) -> Runtime:
    """Make a runtime in virtual time, in which nothing is left to chance."""
    return Runtime(**{"unix_ms": unix_ms, "monotonic": monotonic, "random": random, **changed})
