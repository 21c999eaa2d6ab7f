"""Streams through nginx of deploy/: browsers, curl, httpx and Node follow while gateways drain and are killed.

`make test-node` runs it: it wants nginx, Chromium, Node and curl.
"""

import asyncio
import os
import re
import shutil
import signal
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import httpx
import pytest

from app.api.streams.events import HEARTBEAT_SECONDS
from app.redis.embedded import EmbeddedValkey
from app.resilience.supervision import supervised
from sandbox import Sandbox
from tests.support.gateway import KEY, TOKEN, Gateway, free_port, listening, newcomer, run_gateway

ROOT: Final = Path(__file__).parents[2]
NGINX: Final = ROOT / "deploy/nginx"
WATCH: Final = "/v1/watch?merchantId=12345&within=5"
HEADERS: Final = {"Authorization": f"Bearer {KEY}"}
NAMES: Final = ("source", "fetch", "curl", "httpx", "node")
PATIENCE_SECONDS: Final = 40
PAUSE_SECONDS: Final = 0.2
UPSTREAM: Final = "upstream gateways {{ zone gateways 64k; {servers} keepalive 32; }}\n"
KEYED: Final = """
server {{
    listen 127.0.0.1:{port};
    location / {{
        proxy_pass http://127.0.0.1:{behind}; proxy_http_version 1.1; proxy_buffering off; proxy_read_timeout 35s;
        proxy_set_header Authorization "Bearer {key}"; proxy_set_header Connection "";
    }}
}}
"""
"""An `EventSource` sends no key: a page's own server adds it."""

NODE: Final = """
for (;;) {
  try {
    const response = await fetch(process.argv[1], { headers: { Authorization: `Bearer ${process.argv[2]}` } });
    for await (const chunk of response.body) process.stdout.write(chunk);
  } catch {}
  await new Promise((done) => setTimeout(done, 200));
}
"""


class Followers:
    """What each of the clients has read so far."""

    def __init__(self) -> None:
        self.texts: Final = dict.fromkeys(NAMES, "")
        self._news: Final = asyncio.Condition()

    async def take(self, name: str, text: str) -> None:
        """Add what a client has read."""
        async with self._news:
            self.texts[name] += text
            self._news.notify_all()

    async def until(self, text: str) -> None:
        """Wait until every client has read this."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS), self._news:
                await self._news.wait_for(lambda: all(text in read for read in self.texts.values()))
        except TimeoutError:
            lacking = {name: read[-500:] for name, read in self.texts.items() if text not in read}
            raise AssertionError(lacking) from None


@pytest.fixture
async def upstream() -> AsyncIterator[Sandbox]:
    async with Sandbox(scenario="document", token=TOKEN) as running:
        yield running


async def test_no_client_hangs_when_a_gateway_drains_or_is_killed(
    upstream: Sandbox, valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    followers, ports = Followers(), [free_port(), free_port()]
    async with AsyncExitStack() as stack:
        balancer, keyed = await stack.enter_async_context(_nginx(tmp_path, ports))
        page = await stack.enter_async_context(_page(followers))

        def run(port: int) -> AbstractAsyncContextManager[Gateway]:
            return run_gateway(
                upstream,
                tmp_path,
                own_session=True,
                port=port,
                redis_url=valkey.url,
                drain_seconds=2,
                cors_origins=page,
            )

        async with run(ports[0]) as first:
            async with run(ports[1]) as second:
                _set(upstream, "31001.5")
                await stack.enter_async_context(_following(followers, page, balancer, keyed, tmp_path))
                await followers.until('"total":"31001.5"')
                _set(upstream, "31002.5")
                await followers.until('"total":"31002.5"')
                second.signal(signal.SIGTERM)
                assert await second.ended() == 0
            _set(upstream, "31003.5")
            await followers.until('"total":"31003.5"')
            async with run(ports[1]):
                os.killpg(first.process.pid, signal.SIGKILL)
                await first.ended()
                _set(upstream, "31004.5")
                await followers.until('"total":"31004.5"')
        assert any('"reason":"draining"' in text for text in followers.texts.values())
        for name in ("source", "fetch"):  # they say what they have when they come again
            hellos = re.findall(r'"resumed":"(\w+)"', followers.texts[name])
            assert (hellos[0], "new" in hellos[1:], len(hellos) > 1) == ("new", False, True)


def test_nginx_waits_longer_for_a_byte_than_streams_are_quiet() -> None:
    text = (NGINX / "nginx.conf").read_text()
    (seconds,) = map(int, re.findall(r"proxy_read_timeout (\d+)s;", text))
    assert seconds > 2 * HEARTBEAT_SECONDS


def _set(upstream: Sandbox, total: str) -> None:
    upstream.world.set(
        12345, [{"assetId": "USDT", "asset": "USDT", "assetName": "USDT", "total": total, "free": total, "locked": "0"}]
    )


@asynccontextmanager
async def _nginx(folder: Path, gateways: list[int]) -> AsyncIterator[tuple[str, str]]:
    """Run nginx as deployed. Give the address of the balancer, and of a server that adds the key."""
    port, keyed, place = free_port(), free_port(), folder / "nginx"
    shutil.copytree(NGINX, place)
    text = (place / "nginx.conf").read_text()
    text = text.replace("listen 8080", f"listen 127.0.0.1:{port}").replace("/tmp/", f"{place}/")
    text = text.rstrip().removesuffix("}") + KEYED.format(port=keyed, behind=port, key=KEY) + "}\n"
    (place / "nginx.conf").write_text(f"daemon off;\n{text}")
    servers = " ".join(f"server 127.0.0.1:{gateway} max_fails=0;" for gateway in gateways)
    (place / "gateways.conf").write_text(UPSTREAM.format(servers=servers))
    async with _process("nginx", "-p", str(place), "-c", str(place / "nginx.conf")):
        await listening(port)
        yield f"http://127.0.0.1:{port}", f"http://127.0.0.1:{keyed}"


@asynccontextmanager
async def _following(followers: Followers, page: str, balancer: str, keyed: str, folder: Path) -> AsyncIterator[None]:
    """Let all clients follow, and come again whenever a stream ends."""
    url = f"{balancer}{WATCH}"
    chromium = ("chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
    profile = f"--user-data-dir={folder / 'profile'}"
    hash_ = str(httpx.QueryParams({"source": f"{keyed}{WATCH}", "fetch": url, "key": KEY}))
    curl = ("curl", "-sN", "-H", f"Authorization: Bearer {KEY}", url)
    async with (
        supervised(
            curl=lambda: _again(lambda: _read(followers, "curl", *curl)),
            httpx=lambda: _again(lambda: _read_by_httpx(followers, url)),
            node=lambda: _read(followers, "node", "node", "--input-type=module", "-e", NODE, url, KEY),
        ),
        _process(*chromium, profile, "--no-first-run", "--disable-background-networking", f"{page}/#{hash_}"),
    ):
        yield


async def _again(read: Callable[[], Awaitable[None]]) -> None:
    while True:
        await read()
        await asyncio.sleep(PAUSE_SECONDS)


async def _read(followers: Followers, name: str, *command: str) -> None:
    """Run a client, and take what it prints."""
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
    assert process.stdout is not None
    try:
        while chunk := await process.stdout.read(65_536):
            await followers.take(name, chunk.decode())
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
        await process.wait()


async def _read_by_httpx(followers: Followers, url: str) -> None:
    with suppress(httpx.TransportError):
        async with newcomer(headers=HEADERS) as client, client.stream("GET", url) as response:
            async for text in response.aiter_text():
                await followers.take("httpx", text)


@asynccontextmanager
async def _process(*command: str) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL, stderr=PIPE)
    assert process.stderr is not None
    hearing = asyncio.create_task(process.stderr.read())
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
        await hearing


@asynccontextmanager
async def _page(followers: Followers) -> AsyncIterator[str]:
    """Serve the page, and take what it reports. Give its origin."""
    page = (Path(__file__).parent / "follow.html").read_bytes()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = re.search(r"(?i)content-length: (\d+)", head)
                text = (await reader.readexactly(int(length[1]))).decode() if length else ""
                if head.startswith("POST"):
                    await followers.take(head.split()[1].removeprefix("/"), text)
                body = page if head.startswith("GET / ") else b""
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(body))
                writer.write(body)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
