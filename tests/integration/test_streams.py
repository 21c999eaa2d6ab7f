"""Streams over the wire: clients of all kinds, and readers that stop reading or vanish while the service ends."""

import asyncio
import json
import signal
import socket
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest

from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.gateway import KEY, Gateway, newcomer, run_gateway, write_clients
from tests.support.polling import ask_until
from tests.support.rows import row

REQUEST = (
    b"GET /v1/watch?merchantId=12345&within=5 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
    + KEY.encode()
    + b"\r\n\r\n"
)
HEADERS = {"Authorization": f"Bearer {KEY}"}


async def test_httpx_follows_a_merchant_that_moves(gateway: Gateway, shared_upstream: Sandbox) -> None:
    async with (
        newcomer(gateway.url, HEADERS) as client,
        client.stream("GET", "/v1/watch?merchantId=12345&within=5&format=jsonl") as response,
    ):
        assert (response.status_code, response.headers["x-accel-buffering"]) == (200, "no")
        totals = []
        async for line in response.aiter_lines():
            event = json.loads(line)
            if event["event"] == "synced":
                shared_upstream.world.move(12345)
            if event["event"] == "balances":
                totals.append([row["total"] for row in event["data"]["balances"]])
            if len(totals) == 2:
                break
        assert totals[0] != totals[1]


VIEWS = (
    "/v1/merchants/10001/balances",
    "/v1/merchants/10001/balances/USDT",
    "/v1/merchants/10001/balances?format=csv",
    "/v1/merchants/10001/balances?assets=USDT",
    "/v2/assets/account/assets?merchantId=10001",
    "/v1/balances?merchantId=10001,12345",
    "/v1/balances?merchantId=10001&format=text",
    "/v1/portfolio/merchants",
    "/v1/portfolio/merchants?sort=-USDT&format=csv",
    "/v1/portfolio/assets/USDT",
)


async def test_every_view_of_balances_waits_for_a_move_and_for_nothing_else(
    gateway: Gateway, shared_upstream: Sandbox
) -> None:
    shared_upstream.world.set(10001, [row("1", asset="USDT"), row("1")])
    await gateway.get("/v1/merchants/10001/balances", cache_control="no-cache")
    await ask_until(lambda: gateway.get("/v1/portfolio/merchants"), lambda all_: all_.json()["complete"])
    etags = {path: (await gateway.get(path)).headers["etag"] for path in (*VIEWS, "/v1/portfolio")}
    quiet = await asyncio.gather(*(_poll(gateway, path, etag, 1) for path, etag in etags.items()))
    assert {answer.status_code for answer in quiet} == {304}
    waiting = {path: asyncio.create_task(_poll(gateway, path, etag, 20)) for path, etag in etags.items()}
    await gateway.get("/v1/merchants/10002/balances", cache_control="no-cache")  # a look that finds the same
    shared_upstream.world.set(10001, [row("2", asset="USDT"), row("1")])
    for path in ("/v1/merchants/10001/balances", "/v1/portfolio"):
        await gateway.get(path, cache_control="no-cache")
    answers = {path: await each for path, each in waiting.items()}
    assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(etags, 200)
    assert {answer.headers["preference-applied"] for answer in answers.values()} == {"wait=20"}


async def _poll(gateway: Gateway, path: str, etag: str, seconds: int) -> httpx.Response:
    return await gateway.get(path, if_none_match=etag, prefer=f"wait={seconds}")


async def test_readers_that_read_nothing_do_not_keep_a_worker_from_its_end(
    shared_upstream: Sandbox, valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    clients = write_clients(tmp_path / "clients.toml")
    clients.write_text(clients.read_text() + "streams = 250\n")
    async with run_gateway(
        shared_upstream, tmp_path, redis_url=valkey.url, drain_seconds=1, connections=600, clients_file=clients
    ) as gateway:
        port = int(gateway.url.rpartition(":")[2])
        with ExitStack() as stack:
            for _ in range(250):
                reader = stack.enter_context(closing(socket.create_connection(("127.0.0.1", port))))
                reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                reader.sendall(REQUEST)
            await _opened(gateway, 250)
            gateway.signal(signal.SIGTERM)
            assert await gateway.ended() == 0
        assert not [line for line in gateway.events if line["event"].startswith("worker.") or "logger" in line]
        assert await gateway.logged("server.stopped")


async def _opened(gateway: Gateway, count: int) -> None:
    while True:
        lines = (await gateway.get("/metrics")).text.splitlines()
        if f'tallygate_streams{{format="events"}} {count}.0' in lines:
            return
        await asyncio.sleep(0.05)


ODD = {
    "HTTP/1.0": REQUEST.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "a request after it": REQUEST + REQUEST.replace(b"watch?merchantId=12345&within=5", b"merchants"),
    "bytes after it": REQUEST + b"\x00" * 100_000,
    "any type": REQUEST.replace(b"\r\n\r\n", b"\r\nAccept: text/html, */*\r\n\r\n"),
    "a long Last-Event-ID": REQUEST.replace(b"\r\n\r\n", b"\r\nLast-Event-ID: " + b"a" * 10_000 + b"\r\n\r\n"),
    "two of them": REQUEST.replace(b"\r\n\r\n", b"\r\nLast-Event-ID: \xff\r\nLast-Event-ID: b\r\n\r\n"),
}


@pytest.mark.parametrize("name", ODD)
async def test_odd_clients_get_a_whole_stream(gateway: Gateway, name: str) -> None:
    reader, writer = await _connect(gateway)
    writer.write(ODD[name])
    text = (await reader.readuntil(b"event: synced")).decode()
    assert text.startswith(("HTTP/1.0 200", "HTTP/1.1 200"))
    assert ("\r\ntransfer-encoding: chunked" in text) is (name != "HTTP/1.0")
    assert text.count("event: balances") == 1
    writer.close()


async def test_a_half_closed_connection_ends_its_stream_and_head_opens_none(gateway: Gateway) -> None:
    reader, writer = await _connect(gateway)
    writer.write(REQUEST)
    await reader.readuntil(b"event: synced")
    writer.write_eof()
    assert b"event: end" not in await reader.read()
    writer.close()
    reader, writer = await _connect(gateway)
    writer.write(REQUEST.replace(b"GET", b"HEAD") + REQUEST.replace(b"/v1/watch?merchantId=12345&within=5", b"/v1/me"))
    head = await reader.readuntil(b"\r\n\r\n")
    assert (head[:12], b"content-type: text/event-stream" in head) == (b"HTTP/1.1 200", True)
    assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")  # of the next request: there was no body
    writer.close()


async def _connect(gateway: Gateway) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", int(gateway.url.rpartition(":")[2]))


async def test_curl_shows_events_as_they_come(gateway: Gateway) -> None:
    process = await asyncio.create_subprocess_exec(
        *("curl", "-sN", "-H", f"Authorization: Bearer {KEY}", f"{gateway.url}/v1/watch?merchantId=12345"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    lines = [(await process.stdout.readline()).decode() for _ in range(3)]
    assert [line.partition(":")[0] for line in lines] == ["retry", "event", "data"]
    process.terminate()
    await process.wait()
