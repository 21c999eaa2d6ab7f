"""Seeded load: the same requests for each contender, at an even rate or as fast as it answers, and what came back."""

import asyncio
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from random import Random
from time import perf_counter
from typing import Any, Final

from msgspec import Struct

CONNECTIONS: Final = 32
OLD_SECONDS: Final = 5.0
_TICK_SECONDS: Final = 0.001
_UNKNOWN_SHARE: Final = 0.01
_LENGTH: Final = re.compile(rb"\ncontent-length: *([0-9]+)")
_TIME: Final = re.compile(rb'"(?:total|free)":"(1[0-9]{9}\.[0-9]{1,3}|1[0-9]{9})"')


class Seen(Struct):
    """What came back: how long each answer took in milliseconds, how old each was in seconds, and how many failed."""

    milliseconds: list[float]
    ages: list[float]
    failed: int = 0
    seconds: float = 0.0


def choose_merchants(seed: int, popular: range, unknown: int) -> Iterator[int]:
    """Choose merchants by Zipf's law (exponent 1) for ever; one in a hundred is new, from `unknown` on."""
    random = Random(seed)
    weights = list(accumulate(1 / rank for rank in range(1, len(popular) + 1)))
    while True:
        for merchant in random.choices(popular, cum_weights=weights, k=1000):
            if random.random() < _UNKNOWN_SHARE:
                yield unknown
                unknown += 1
            else:
                yield merchant


class _Connection(asyncio.Protocol):
    """One connection without pipelining: a request that is due while it waits is sent afterwards."""

    def __init__(self, load: "SeededLoad") -> None:
        self._load: Final = load
        self._transport: Any = None
        self._buffer = b""
        self.due: list[float] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def ask(self, due: float) -> None:
        """Ask for the next merchant. Its latency counts from `due`."""
        self.due.append(due)
        if len(self.due) == 1:
            self._transport.write(self._load.next_request())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        length = _LENGTH.search(head)
        if length is None or len(self._buffer) - end - 4 < int(length[1]):
            return
        body, self._buffer = self._buffer[end + 4 :], b""
        self._load.note(head, body, self.due.pop(0))
        if self.due:
            self._transport.write(self._load.next_request())
        elif self._load.is_closed_loop:
            self.ask(perf_counter())

    def close(self) -> None:
        self.due.clear()
        self._transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        self._load.seen.failed += len(self.due)


class SeededLoad:
    """Loads one port. `template` is the path with `%d` for the merchant."""

    def __init__(self, port: int, template: str, headers: Mapping[str, str], merchants: Iterator[int]) -> None:
        lines = [
            f"GET {template} HTTP/1.1",
            "Host: 127.0.0.1",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        self._port: Final = port
        self._request: Final = ("\r\n".join(lines) + "\r\n\r\n").encode()
        self._merchants: Final = merchants
        self._wires: Sequence[_Connection] = ()
        self.is_closed_loop = False
        self.seen = Seen([], [])

    async def connect(self) -> None:
        """Open the connections."""
        loop = asyncio.get_running_loop()
        opened = [
            await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self._port) for _ in range(CONNECTIONS)
        ]
        self._wires = [wire for _, wire in opened]

    async def run_evenly(self, per_second: float, seconds: float) -> Seen:
        """Send requests at this rate, and return what came back."""
        self.seen = Seen([], [], seconds=seconds)
        began, number = perf_counter(), 0
        while (now := perf_counter() - began) < seconds:
            while number / per_second <= now:
                self._wires[number % CONNECTIONS].ask(began + number / per_second)
                number += 1
            await asyncio.sleep(_TICK_SECONDS)
        await self._settle()
        return self.seen

    async def run_closed(self, seconds: float) -> Seen:
        """Send each request when the one before it is answered, and return what came back."""
        self.seen, self.is_closed_loop = Seen([], [], seconds=seconds), True
        for wire in self._wires:
            wire.ask(perf_counter())
        await asyncio.sleep(seconds)
        self.is_closed_loop = False
        seen = Seen([*self.seen.milliseconds], [*self.seen.ages], self.seen.failed, seconds)
        await self._settle()
        return seen

    async def close(self) -> None:
        """Close the connections."""
        for wire in self._wires:
            wire.close()

    def next_request(self) -> bytes:
        return self._request % next(self._merchants)

    def note(self, head: bytes, body: bytes, due: float) -> None:
        """Note an answer. One without balances, or from no time that can be read, failed."""
        found = _TIME.search(body) if head.startswith(b"http/1.1 200") else None
        if found is None:
            self.seen.failed += 1
            return
        self.seen.milliseconds.append((perf_counter() - due) * 1000)
        self.seen.ages.append(time.time() - float(found[1]))

    async def _settle(self) -> None:
        """Wait for the answers that are still under way."""
        until = perf_counter() + 10
        for wire in self._wires:
            while wire.due and perf_counter() < until:  # noqa: ASYNC110  # an event would cost each answer
                await asyncio.sleep(0.01)
