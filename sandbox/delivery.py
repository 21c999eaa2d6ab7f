"""Delivery of answers to the connection, whole or broken."""

import asyncio
import zlib
from collections.abc import Iterator
from typing import assert_never

from sandbox import faults
from sandbox.messages import Answer
from sandbox.planning import Plan
from sandbox.server import Connection
from sandbox.spoiling import altered, replaced

_MEGABYTE = 1 << 20
_GZIP = 16 + zlib.MAX_WBITS


def final(plan: Plan, answer: Answer) -> Answer:
    """Return the answer that a plan prescribes, before any breakage."""
    if isinstance(plan.spoiler, faults.Replacement):
        return replaced(plan.spoiler)
    if isinstance(plan.spoiler, faults.Alteration):
        return altered(plan.spoiler, answer)
    return answer


async def deliver(breakage: faults.Breakage, answer: Answer, wire: Connection) -> None:
    """Send an answer broken in the way of a fault. May be cancelled."""
    match breakage:
        case faults.Drip():
            await _drip(wire, answer, breakage.bytes_per_second)
        case faults.Reset():
            wire.write(_half(wire, answer))
            wire.reset()
        case faults.Truncated():
            wire.write(_half(wire, answer))
            wire.close()
        case faults.GzipBomb():
            await _stream(wire, answer, _gzipped(_padded(answer, breakage.megabytes)), ("Content-Encoding", "gzip"))
        case faults.Huge():
            await _stream(wire, answer, _padded(answer, breakage.megabytes))
        case faults.Close():
            wire.close()
        case _:
            assert_never(breakage)


async def _drip(wire: Connection, answer: Answer, bytes_per_second: float) -> None:
    for byte in wire.render(answer):
        wire.write(bytes((byte,)))
        await asyncio.sleep(1 / bytes_per_second)
    wire.finish()


async def _stream(wire: Connection, answer: Answer, chunks: Iterator[bytes], *headers: tuple[str, str]) -> None:
    wire.begin(answer, headers)
    for chunk in chunks:
        wire.chunk(chunk)
        await wire.drained()
    wire.end()


def _half(wire: Connection, answer: Answer) -> bytes:
    whole = wire.render(answer)
    head = whole.index(b"\r\n\r\n") + 4
    return whole[: (head + len(whole)) // 2]


def _padded(answer: Answer, megabytes: float | None) -> Iterator[bytes]:
    yield answer.body
    left = None if megabytes is None else int(megabytes * _MEGABYTE)
    while left is None or left > 0:
        size = _MEGABYTE if left is None else min(left, _MEGABYTE)
        yield b" " * size
        left = None if left is None else left - size


def _gzipped(chunks: Iterator[bytes]) -> Iterator[bytes]:
    squeeze = zlib.compressobj(wbits=_GZIP)
    for chunk in chunks:
        yield squeeze.compress(chunk)
    yield squeeze.flush()
