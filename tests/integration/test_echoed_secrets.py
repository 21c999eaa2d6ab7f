"""A secret that the upstream repeats goes no further, in whatever form JSON can write it."""

import asyncio
import json
from collections.abc import Callable

import pytest

from app.egress.pool import PoolOptions
from app.egress.trust import trust_authorities
from app.errors import MalformedAnswer
from app.secret import Secret
from app.upstream.transport import TOKEN_HEADER, SecretHeader, Transport

SECRET = 'canary/7f+3a"\\token=='
OPTIONS = PoolOptions(trust_authorities, 300, lambda: 0.0, lambda: 0.5)


async def _ask(body: bytes) -> bytes:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with Transport(url, OPTIONS) as transport:
            return (await transport.get("/x", {}, SecretHeader(TOKEN_HEADER, Secret(SECRET)))).body


def _escape(character: str) -> str:
    return f"\\u{ord(character):04X}"


@pytest.mark.parametrize(
    "write",
    {
        "plain text": str,
        "JSON": lambda text: json.dumps(text)[1:-1],
        "JSON for pages": lambda text: json.dumps(text)[1:-1].replace("/", "\\/").replace("=", "\\u003d"),
        "all escaped": lambda text: "".join(map(_escape, text)),
        "one escaped": lambda text: _escape(text[0]) + json.dumps(text[1:])[1:-1],
    }.values(),
)
async def test_an_answer_that_repeats_the_secret_is_refused(write: Callable[[str], str]) -> None:
    with pytest.raises(MalformedAnswer, match="repeats our secret") as caught:
        await _ask(f'{{"assetName":"x{write(SECRET)}"}}'.encode())
    assert "canary" not in repr(caught.value)


@pytest.mark.parametrize("body", [b'{"a":"\\u4e2d\\n\\"\\\\u0063"}', b"\\", b"\\u00", b"\\u00zz"])
async def test_other_escapes_pass_as_they_are(body: bytes) -> None:
    assert await _ask(body) == body
