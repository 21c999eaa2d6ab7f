"""The sandbox as the tests meet it: over a raw socket, so that no client library hides a byte."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from sandbox import Sandbox

TOKEN = "sandbox-token"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(scenario="document", merchants=5) as running:
        yield running


@pytest.fixture
def exchange() -> Callable[[str, bytes], Awaitable[tuple[bytes, bool]]]:
    """Send bytes and read to the end: what came, and whether the end was a reset."""

    async def _exchange(url: str, sent: bytes) -> tuple[bytes, bool]:
        reader, writer = await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port)
        received, reset = b"", False
        try:
            writer.write(sent)
            while data := await reader.read(1 << 16):
                received += data
        except ConnectionResetError:
            reset = True
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        return received, reset

    return _exchange


@pytest.fixture
def ask(
    exchange: Callable[[str, bytes], Awaitable[tuple[bytes, bool]]],
) -> Callable[..., Awaitable[tuple[int, dict[str, str], bytes]]]:
    """Ask once: the status, the headers in lower case and the body, as they came."""

    async def _ask(
        url: str, target: str, *, method: str = "GET", body: Any = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        content = b"" if body is None else msgspec.json.encode(body)
        given = {"Host": "sandbox", "Connection": "close", "Content-Length": str(len(content)), "X-BH-TOKEN": TOKEN}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items()), "", ""]
        received, _ = await exchange(url, "\r\n".join(lines).encode() + content)
        head, _, rest = received.partition(b"\r\n\r\n")
        status, *fields = head.decode().split("\r\n")
        pairs = (field.split(": ", 1) for field in fields)
        return int(status.split()[1]), {name.lower(): value for name, value in pairs}, rest

    return _ask
