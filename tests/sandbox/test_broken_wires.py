"""Faults in how it is answered: late, never, broken, without end."""

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any
from urllib.parse import urlsplit

from sandbox import Sandbox

Ask = Callable[..., Awaitable[tuple[int, dict[str, str], bytes]]]
Exchange = Callable[[str, bytes], Coroutine[Any, Any, tuple[bytes, bool]]]

BALANCES = "/v2/assets/account/assets"
MINE = f"{BALANCES}?merchantId=12345"
REQUEST = f"GET {MINE} HTTP/1.1\r\nHost: x\r\nX-BH-TOKEN: sandbox-token\r\n\r\n".encode()
LAST_REQUEST = REQUEST[:-2] + b"Connection: close\r\n\r\n"


async def test_close_ends_the_connection_before_any_byte(sandbox: Sandbox, exchange: Exchange) -> None:
    with sandbox.fault("close"):
        assert await exchange(sandbox.url, REQUEST) == (b"", False)
    assert not sandbox.counters.by_status


async def test_truncated_ends_the_connection_in_the_middle_of_the_body(sandbox: Sandbox, exchange: Exchange) -> None:
    whole, _ = await exchange(sandbox.url, LAST_REQUEST)
    with sandbox.fault("truncated"):
        received, reset = await exchange(sandbox.url, REQUEST)
    head, _, body = received.partition(b"\r\n\r\n")
    promised = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
    assert (len(body), reset) == (promised // 2, False)
    assert whole.partition(b"\r\n\r\n")[2].startswith(body)


async def test_reset_resets_the_connection_in_the_middle_of_the_body(sandbox: Sandbox, exchange: Exchange) -> None:
    with sandbox.fault("reset"):
        received, reset = await exchange(sandbox.url, REQUEST)
    assert reset
    assert b'"balances":[' in received
    assert not received.endswith(b"}")


async def test_drip_sends_the_same_bytes_one_at_a_time(sandbox: Sandbox) -> None:
    reader, writer = await asyncio.open_connection(*address(sandbox))
    pieces: list[bytes] = []
    with sandbox.fault("drip", bytes_per_second=5000):
        writer.write(LAST_REQUEST)
        while piece := await reader.read(1 << 16):
            pieces.append(piece)
    writer.close()
    await writer.wait_closed()
    assert json.loads(b"".join(pieces).partition(b"\r\n\r\n")[2])["data"]["balances"][0]["total"] == "1000"
    assert len(pieces) > len(b"".join(pieces)) // 2


async def test_a_drip_so_slow_that_it_never_ends_ends_when_the_client_leaves(sandbox: Sandbox) -> None:
    reader, writer = await asyncio.open_connection(*address(sandbox))
    with sandbox.fault("drip", bytes_per_second=0.0001):
        writer.write(REQUEST)
        assert await reader.read(1 << 16) == b"H"
        writer.close()
        await writer.wait_closed()
        await sandbox.idle()


async def test_hang_answers_nothing_until_it_is_removed(sandbox: Sandbox, exchange: Exchange) -> None:
    with sandbox.fault("hang"):
        call = asyncio.create_task(exchange(sandbox.url, LAST_REQUEST))
        await sandbox.calls(1)
        assert (sandbox.counters.in_flight, dict(sandbox.counters.by_status)) == (1, {})
    received, _ = await call
    assert received.startswith(b"HTTP/1.1 200 OK")
    assert sandbox.counters.in_flight == 0


async def test_a_client_that_leaves_a_hang_is_no_longer_in_flight(sandbox: Sandbox) -> None:
    _, writer = await asyncio.open_connection(*address(sandbox))
    with sandbox.fault("hang"):
        writer.write(REQUEST)
        await sandbox.calls(1)
        writer.close()
        await writer.wait_closed()
        await sandbox.idle()
    assert not sandbox.counters.by_status


async def test_latency_holds_back_one_call_while_others_are_answered(
    sandbox: Sandbox, exchange: Exchange, ask: Ask
) -> None:
    with sandbox.fault("latency", seconds=3600, merchants=[12345]):
        call = asyncio.create_task(exchange(sandbox.url, REQUEST))
        await sandbox.calls(1)
        status, _, _ = await ask(sandbox.url, f"{BALANCES}?merchantId=0")
        assert (status, sandbox.counters.in_flight, call.done()) == (200, 1, False)
        call.cancel()
        await asyncio.wait([call])
        await sandbox.idle()


async def test_latency_combines_with_another_fault(sandbox: Sandbox, ask: Ask) -> None:
    with sandbox.fault("latency", seconds=0.001, jitter_seconds=0.001), sandbox.fault("status", status=500):
        status, _, _ = await ask(sandbox.url, MINE)
        fired = [one["fired"] for one in sandbox.faults.as_document()]
    assert (status, fired) == (500, [1, 1])


async def test_an_answer_says_what_was_true_when_the_call_arrived(sandbox: Sandbox, exchange: Exchange) -> None:
    with sandbox.fault("hang"):
        call = asyncio.create_task(exchange(sandbox.url, LAST_REQUEST))
        await sandbox.calls(1)
        sandbox.world.set(12345, [])
    received, _ = await call
    assert b'"total":"1000"' in received


async def test_the_latency_of_the_sandbox_itself_holds_back_every_answer(exchange: Exchange) -> None:
    async with Sandbox(latency_seconds=3600) as sandbox:
        call = asyncio.create_task(exchange(sandbox.url, REQUEST))
        await sandbox.calls(1)
        assert sandbox.counters.in_flight == 1
        call.cancel()
        await asyncio.wait([call])


async def test_a_gzip_bomb_is_small_on_the_wire_and_large_inside(sandbox: Sandbox, exchange: Exchange) -> None:
    with sandbox.fault("gzip-bomb", megabytes=8):
        received, _ = await exchange(sandbox.url, LAST_REQUEST)
    head, _, body = received.partition(b"\r\n\r\n")
    inside = gzip.decompress(dechunked(body))
    assert b"Content-Encoding: gzip" in head
    assert len(body) < 20_000
    assert len(inside) > 8 * 2**20
    assert json.loads(inside)["data"]["balances"][0]["total"] == "1000"


async def test_huge_sends_as_many_megabytes_as_asked_for_in_chunks(sandbox: Sandbox, exchange: Exchange) -> None:
    with sandbox.fault("huge", megabytes=3):
        received, _ = await exchange(sandbox.url, LAST_REQUEST)
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head
    assert b"Content-Length" not in head
    assert len(dechunked(body).rstrip(b" ")) == len(dechunked(body)) - 3 * 2**20


async def test_huge_has_no_end_of_its_own(sandbox: Sandbox) -> None:
    reader, writer = await asyncio.open_connection(*address(sandbox))
    with sandbox.fault("huge"):
        writer.write(REQUEST)
        await reader.readexactly(20 << 20)
        assert sandbox.counters.in_flight == 1
        writer.close()
        await writer.wait_closed()
        await sandbox.idle()


def address(sandbox: Sandbox) -> tuple[str, int]:
    parts = urlsplit(sandbox.url)
    assert parts.port is not None
    return str(parts.hostname), parts.port


def dechunked(body: bytes) -> bytes:
    """Take chunked framing apart by hand."""
    pieces = []
    while body:
        size, _, rest = body.partition(b"\r\n")
        pieces.append(rest[: int(size, 16)])
        body = rest[int(size, 16) + 2 :]
    return b"".join(pieces)
