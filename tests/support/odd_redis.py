"""A Redis that answers as it is told to: a real Valkey, in front of which some answers are replaced."""

import asyncio
import hashlib
from asyncio import IncompleteReadError, StreamReader, StreamWriter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from app.redis import lua, lua_budget, lua_feed, lua_history, lua_shared
from app.redis.scripts import make_script, make_single
from tests.support.valkey import Valkey

_BATCHED = ("READ_OR_LEASE", "READ_OR_LEASE_WITH_PERMIT", "STORE_AND_RELEASE", "RELEASE_AND_NOTIFY", "RENEW_LEASE")
_SINGLE = ("SHARED_GET", "SHARED_SET", "SHARED_FAIL", "TAKE_PERMITS", "PAUSE", "START_JOB", "UPDATE_JOB", "RENEW_LEASE")
_TEXTS = vars(lua) | vars(lua_budget) | vars(lua_shared)
SCRIPTS = {make_script(_TEXTS[name], int).sha: name for name in _BATCHED} | {
    make_single(_TEXTS[name]).sha: name for name in _SINGLE
}
SCRIPTS[make_script(lua_history.STORE_AND_RECORD, int).sha] = "STORE_AND_RECORD"
SCRIPTS[make_single(lua_feed.READ_FEED).sha] = "READ_FEED"
"""The names of our scripts by their digests."""

Replace = Callable[[str], bytes | None]
"""Gives the answer to a command or script of this name; None lets the server answer."""


class OddRedis:
    """An address, `url`, and what is answered there. `seen` are the names of commands and scripts so far.

    `distort` gives what is sent instead of the server's answer to a script.
    """

    def __init__(self, server: Valkey) -> None:
        self._server = server
        self.url = ""
        self.replace: Replace = lambda _: None
        self.distort: Callable[[bytes], bytes] = bytes
        self.seen: set[str] = set()
        self._serving: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """End all connections, and wait until they are closed."""
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving)

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Answer one connection until either side ends it."""
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        with suppress(asyncio.CancelledError):
            await self._serve(reader, writer)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(self._server.url.removeprefix("unix://"))
        pumping: asyncio.Task[None] | None = None
        with suppress(OSError, IncompleteReadError, asyncio.CancelledError):
            while True:
                raw, words = await _read_command(reader)
                name = _name(words)
                self.seen.add(name)
                answer = self.replace(name)
                if answer is None:
                    inner_writer.write(raw)
                    if pumping is None:
                        answer = await _read_reply(inner_reader)
                        answer = self.distort(answer) if words[0] == b"EVALSHA" else answer
                writer.write(answer or b"")
                await writer.drain()
                if name == "SUBSCRIBE" and pumping is None:  # from now on the server speaks unasked
                    pumping = asyncio.create_task(_pump(inner_reader, writer))
        if pumping is not None:
            pumping.cancel()
        for one in (writer, inner_writer):
            one.close()
        for one in (writer, inner_writer):
            with suppress(OSError):
                await one.wait_closed()


@asynccontextmanager
async def run_odd_redis(server: Valkey) -> AsyncIterator[OddRedis]:
    """Run it in front of a server that listens at a Unix socket."""
    odd = OddRedis(server)
    listener = await asyncio.start_server(odd.serve, "127.0.0.1", 0)
    odd.url = f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield odd
    finally:
        listener.close()
        await odd.close()


def _name(words: list[bytes]) -> str:
    name = words[0].decode().upper()
    match name:
        case "EVALSHA":
            return SCRIPTS.get(words[1].decode(), name)
        case "EVAL":
            return SCRIPTS.get(hashlib.sha1(words[1], usedforsecurity=False).hexdigest(), name)
        case _:
            return name


async def _read_command(reader: StreamReader) -> tuple[bytes, list[bytes]]:
    """Read a command, as it came and word by word (RESP: an array of bulk strings)."""
    raw = await reader.readuntil(b"\r\n")
    words = []
    for _ in range(int(raw[1:])):
        head = await reader.readuntil(b"\r\n")
        word = await reader.readexactly(int(head[1:]) + 2)
        raw += head + word
        words.append(word[:-2])
    return raw, words


async def _read_reply(reader: StreamReader) -> bytes:
    """Read one reply of either protocol version, whole."""
    raw = await reader.readuntil(b"\r\n")
    kind = raw[:1]
    if kind in b"$=" and (size := int(raw[1:])) >= 0:
        raw += await reader.readexactly(size + 2)
    elif kind in b"*~>%":
        for _ in range(int(raw[1:]) * (2 if kind == b"%" else 1)):
            raw += await _read_reply(reader)
    return raw


async def _pump(reader: StreamReader, writer: StreamWriter) -> None:
    while chunk := await reader.read(65536):
        writer.write(chunk)
        await writer.drain()
