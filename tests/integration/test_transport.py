"""The wire to the upstream, against the real simulated one."""

import asyncio
import time
from collections.abc import AsyncIterator
from socket import create_server
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from app.egress.pool import PoolOptions
from app.egress.transport import PooledTransport
from app.egress.trust import trust_authorities
from app.errors import InternalError, MalformedAnswer, TallygateError, Unreachable
from app.secret import Secret
from app.upstream.client import BALANCES_PATH
from app.upstream.transport import MAX_BODY_BYTES, TOKEN_HEADER, SecretHeader, Transport
from sandbox import Sandbox
from tests.support.gateway import TOKEN

PARAMS = {"merchantId": "12345"}
SHOWN = SecretHeader(TOKEN_HEADER, Secret(TOKEN))
OPTIONS = PoolOptions(trust_authorities, 300, time.monotonic, lambda: 0.5)


@pytest.fixture
async def wire(upstream: Sandbox) -> AsyncIterator[Transport]:
    async with Transport(upstream.url, OPTIONS) as transport:
        yield transport


async def test_an_answer_is_read_whole(wire: Transport) -> None:
    answer = await wire.get(BALANCES_PATH, PARAMS, SHOWN)
    assert (answer.status, b"SUCCESS" in answer.body) == (200, True)


async def test_connections_are_kept(wire: Transport, upstream: Sandbox) -> None:
    for _ in range(10):
        await wire.get(BALANCES_PATH, PARAMS, SHOWN)
    assert upstream.counters.connections == 1


async def test_a_redirect_is_not_followed(wire: Transport, upstream: Sandbox) -> None:
    async with Sandbox(token=TOKEN) as elsewhere:
        with upstream.fault("redirect", location=f"{elsewhere.url}{BALANCES_PATH}?merchantId=0", status=302):
            assert (await wire.get(BALANCES_PATH, PARAMS, SHOWN)).status == 302
        assert elsewhere.counters.total == 0


async def test_a_proxy_of_the_environment_is_not_used(upstream: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Sandbox(token=TOKEN) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        async with Transport(upstream.url, OPTIONS) as transport:
            await transport.get(BALANCES_PATH, PARAMS, SHOWN)
        assert (proxy.counters.total, upstream.counters.total) == (0, 1)


async def test_a_compressed_bomb_is_not_unpacked(wire: Transport, upstream: Sandbox) -> None:
    with upstream.fault("gzip-bomb", megabytes=50):
        answer = await wire.get(BALANCES_PATH, PARAMS, SHOWN)
    assert len(answer.body) <= MAX_BODY_BYTES
    assert answer.headers["content-encoding"] == "gzip"


async def test_an_endless_body_is_not_read_to_its_end(wire: Transport, upstream: Sandbox) -> None:
    with upstream.fault("huge", megabytes=100), pytest.raises(MalformedAnswer):
        await wire.get(BALANCES_PATH, PARAMS, SHOWN)


@pytest.mark.parametrize("kind", ["reset", "truncated", "close"])
async def test_a_broken_exchange_is_unreachable_and_the_next_one_works(
    wire: Transport, upstream: Sandbox, kind: str
) -> None:
    with upstream.fault(kind), pytest.raises(Unreachable, match="broke"):
        await wire.get(BALANCES_PATH, PARAMS, SHOWN)
    assert (await wire.get(BALANCES_PATH, PARAMS, SHOWN)).status == 200


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:{closed}", "refused"),
        ("http://nowhere.invalid", "name is not known"),
        ("https://127.0.0.1:{plain}", "secure"),
    ],
)
async def test_what_cannot_be_reached_says_why(upstream: Sandbox, url: str, reason: str) -> None:
    with create_server(("127.0.0.1", 0)) as probe:
        closed = probe.getsockname()[1]
    plain = upstream.url.rpartition(":")[2]
    async with Transport(url.format(closed=closed, plain=plain), OPTIONS) as transport:
        with pytest.raises(Unreachable, match=reason):
            await transport.get(BALANCES_PATH, PARAMS, SHOWN)


async def test_cancelled_requests_leave_the_pool_whole(wire: Transport, upstream: Sandbox) -> None:
    """httpx's own pool is wedged by this for good (encode/httpcore#1093)."""
    with upstream.fault("latency", seconds=0.02, jitter_seconds=0.02):
        for _ in range(20):
            requests = [asyncio.create_task(wire.get(BALANCES_PATH, PARAMS, SHOWN)) for _ in range(40)]
            await asyncio.wait(requests, return_when=asyncio.FIRST_COMPLETED)
            for request in requests:
                request.cancel()
            await asyncio.gather(*requests, return_exceptions=True)
    assert (await wire.get(BALANCES_PATH, PARAMS, SHOWN)).status == 200


async def test_no_error_shows_the_token(wire: Transport, upstream: Sandbox) -> None:
    for kind in ("reset", "truncated", "close", "huge"):
        with upstream.fault(kind), pytest.raises(TallygateError) as caught:
            await wire.get(BALANCES_PATH, PARAMS, SHOWN)
        error: BaseException | None = caught.value
        while error is not None:
            assert TOKEN not in repr(error) + str(error)
            error = error.__cause__ or error.__context__


@pytest.mark.parametrize(
    "url",
    [
        "{elsewhere}",
        "http://localhost:{port}",
        "https://127.0.0.1:{port}",
        "http://127.0.0.1",
        "http://user@127.0.0.2:{port}",
    ],
)
async def test_no_request_leaves_for_another_origin_even_if_the_code_asks_for_it(
    wire: Transport, upstream: Sandbox, url: str
) -> None:
    async with Sandbox(token=TOKEN) as elsewhere:
        asked = url.format(elsewhere=elsewhere.url, port=upstream.url.rpartition(":")[2])
        with pytest.raises(InternalError):
            await wire.get(f"{asked}{BALANCES_PATH}", PARAMS, SHOWN)
        assert (elsewhere.counters.total, upstream.counters.total) == (0, 0)


async def test_no_redirect_leads_to_another_origin_even_if_it_were_followed(upstream: Sandbox) -> None:
    transport = PooledTransport(upstream.url, trust_authorities(), MAX_BODY_BYTES)
    async with (
        Sandbox(token=TOKEN) as elsewhere,
        httpx.AsyncClient(transport=transport, follow_redirects=True) as client,
    ):
        with (
            upstream.fault("redirect", location=f"{elsewhere.url}{BALANCES_PATH}?merchantId=0"),
            pytest.raises(InternalError),
        ):
            await client.get(f"{upstream.url}{BALANCES_PATH}", headers={SHOWN.header: SHOWN.secret.reveal()})
        assert (elsewhere.counters.total, upstream.counters.total) == (0, 1)


async def test_the_origin_may_be_asked_for_by_its_whole_url(wire: Transport, upstream: Sandbox) -> None:
    assert (await wire.get(f"{upstream.url}{BALANCES_PATH}", PARAMS, SHOWN)).status == 200


@pytest.mark.parametrize("value", ["1", "1&merchantId=2", "@elsewhere", "1#2", "ö %41+"])
async def test_a_parameter_arrives_as_it_is_whatever_is_in_it(value: str) -> None:
    asked: asyncio.Queue[str] = asyncio.Queue()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.put_nowait(head.split()[1].decode())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with Transport(f"http://127.0.0.1:{port}", OPTIONS) as transport:
            await transport.get(BALANCES_PATH, {"merchantId": value}, SHOWN)
    where = urlsplit(await asked.get())
    assert (where.path, parse_qsl(where.query)) == (BALANCES_PATH, [("merchantId", value)])
