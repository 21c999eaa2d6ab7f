"""Open-loop load at a constant rate: latency counts from when a request was due, not from when it was sent.

A closed loop sends its next request only after a slow answer. The requests that were due meanwhile go unmeasured
(coordinated omission).
"""

import asyncio
import os
from collections import deque
from pathlib import Path
from time import perf_counter
from typing import Final

from msgspec import Struct

TICK_SECONDS: Final = 0.0005
WARM_UP_SECONDS: Final = 0.5


class Latencies(Struct, frozen=True):
    """Results of a load: quantiles in milliseconds, the number of failures, and the seconds of CPU time stolen meanwhile."""

    per_second: float
    p50: float
    p99: float
    p999: float
    requests: int
    errors: int
    stolen_seconds: float


class _Connection(asyncio.Protocol):
    """One connection without pipelining. Requests that are due while it waits are queued."""

    def __init__(self, request: bytes, seen: list[float], errors: list[str]) -> None:
        self._request: Final = request
        self._seen: Final = seen
        self._errors: Final = errors
        self._due: Final[deque[float]] = deque()
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def ask(self, due: float) -> None:
        self._due.append(due)
        if len(self._due) == 1:
            self._send()

    @property
    def waiting(self) -> int:
        return len(self._due)

    def _send(self) -> None:
        if self._transport is not None:
            self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        _, _, after = head.lower().partition(b"content-length: ")
        if len(rest) < int(after.split(b"\r\n", 1)[0] or 0):
            return
        self._buffer = b""
        self._seen.append(perf_counter() - self._due.popleft())
        if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 304")):
            self._errors.append(head.split(b"\r\n", 1)[0].decode())
        if self._due:
            self._send()

    def connection_lost(self, _: Exception | None) -> None:
        self._errors.extend("lost" for _ in self._due)


async def run_open_loop(port: int, request: bytes, per_second: float, seconds: float, connections: int) -> Latencies:
    """Send requests at this rate for `seconds`, after a warm-up that is not counted."""
    loop = asyncio.get_running_loop()
    seen: list[float] = []
    errors: list[str] = []
    wires = [
        (await loop.create_connection(lambda: _Connection(request, seen, errors), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    stolen = read_stolen_seconds()
    began, number, warm = perf_counter(), 0, 0
    while (now := perf_counter() - began) < WARM_UP_SECONDS + seconds:
        while number / per_second <= now:
            wires[number % connections].ask(began + number / per_second)
            number += 1
        if now <= WARM_UP_SECONDS:
            warm = len(seen)
        await asyncio.sleep(TICK_SECONDS)
    await asyncio.sleep(0.5)
    counted = sorted(seen[warm:])
    unanswered = sum(wire.waiting for wire in wires)
    p50, p99, p999 = (1000 * counted[int(share * (len(counted) - 1))] for share in (0.5, 0.99, 0.999))
    failed = len(errors) + unanswered
    return Latencies(per_second, p50, p99, p999, len(counted), failed, read_stolen_seconds() - stolen)


def read_stolen_seconds() -> float:
    """Return the seconds of CPU time that the hypervisor gave to others since boot (proc(5), `/proc/stat`)."""
    of_all = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()
    return int(of_all[8]) / os.sysconf("SC_CLK_TCK")
