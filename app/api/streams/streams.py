"""All streams of a process: their places, their turns, and what time does to them."""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import Final

from msgspec import Struct

from app.access.callers import Caller, Callers
from app.api.streams.scopes import Scopes
from app.api.streams.stream import Stream, StreamContext
from app.errors import TooManyStreams
from app.resilience.draining import Drain
from app.runtime import Runtime
from app.telemetry.families import Labels
from app.watch.positions import Positions

TICK_SECONDS: Final = 1.0
_AT_ONCE: Final = 16
"""How many streams write in one turn of the event loop: others get theirs in between."""

_WAKE_SECONDS: Final = 0.02
"""How soon a change is written: changes that come together are, and the history has numbered them by then."""

_LIFE_SECONDS: Final = 3600.0
_LIFE_SPREAD: Final = 0.1
_DRAIN_SHARE: Final = 0.8
_LONGEST_RETRY_SECONDS: Final = 10

Peer = tuple[str, int]
Cut = Callable[[Collection[Peer]], None]
"""Ends connections, by the addresses of their peers."""


class StreamLimits(Struct, frozen=True, kw_only=True):
    """How many streams a process has, and within how many seconds a draining one ends them."""

    streams: int
    drain_seconds: float


class Streams:
    """Keep the open streams. `cut` ends the connections of readers that take nothing."""

    def __init__(
        self,
        callers: Callers,
        scopes: Scopes,
        positions: Positions,
        drain: Drain,
        limits: StreamLimits,
        cut: Cut,
        runtime: Runtime,
    ) -> None:
        self._callers: Final = callers
        self._scopes: Final = scopes
        self.drain: Final = drain
        self._limits: Final = limits
        self._cut: Final = cut
        self._runtime: Final = runtime
        self._open: Final[dict[Stream, None]] = {}
        self._taken = 0
        self._ready: Final[deque[Stream]] = deque()
        self.context: Final = StreamContext(positions, self._wake, runtime)
        drain.watch(self._end_soon)
        runtime.metrics.watch.streams.watch_all(self._count)

    def __len__(self) -> int:
        return len(self._open)

    def draw_life_seconds(self) -> float:
        """Draw how long a stream may live."""
        return _LIFE_SECONDS * (1 + _LIFE_SPREAD * (2 * self._runtime.random() - 1))

    def acquire(self, caller: Caller) -> Callable[[], None]:
        """Acquire a place for a stream. Return what releases it. Raises `TooManyStreams`."""
        seconds = 1 + int(self._runtime.random() * _LONGEST_RETRY_SECONDS)
        if self._taken >= self._limits.streams:
            raise TooManyStreams("There are as many streams here as there may be.", retry_after_seconds=seconds)
        leave = self._callers.acquire_stream(caller, seconds)
        self._taken += 1

        def release() -> None:
            leave()
            self._taken -= 1

        return release

    def add(self, stream: Stream) -> None:
        """Keep a stream while it is open."""
        self._open[stream] = None
        if self.drain.is_on:
            stream.finish("draining")

    def remove(self, stream: Stream) -> None:
        """Keep a stream no longer."""
        self._open.pop(stream, None)

    async def run(self) -> None:
        """Do each second what is due, until cancelled."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            await self.tick()

    async def tick(self) -> None:
        """Do what is due now."""
        await self._scopes.tick()
        now, unix_seconds = self._runtime.monotonic(), self._runtime.unix_ms() / 1000
        stalled = []
        for stream in self._open:
            stream.tick(now, unix_seconds)
            if stream.is_stalled(now):
                stalled.append(stream)
        if stalled:
            self._cut([stream.peer for stream in stalled if stream.peer is not None])
            for stream in stalled:
                stream.cut()

    def _wake(self, stream: Stream) -> None:
        if not self._ready:
            asyncio.get_running_loop().call_later(_WAKE_SECONDS, self._write_next)
        self._ready.append(stream)

    def _write_next(self) -> None:
        for _ in range(min(_AT_ONCE, len(self._ready))):
            self._ready.popleft().write_now()
        if self._ready:
            asyncio.get_running_loop().call_soon(self._write_next)

    def _end_soon(self) -> None:
        loop = asyncio.get_running_loop()
        for stream in self._open:
            seconds = _DRAIN_SHARE * self._limits.drain_seconds * self._runtime.random()
            loop.call_later(seconds, stream.finish, "draining")

    def _count(self) -> Mapping[Labels, float]:
        counts: dict[Labels, float] = {}
        for stream in self._open:
            labels = (stream.stream_format.value,)
            counts[labels] = counts.get(labels, 0) + 1
        return counts
