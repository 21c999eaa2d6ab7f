"""A Valkey of a test's own, which may be killed, stopped and started again."""

import asyncio
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from redis.asyncio import Redis

from app.cache.embedded import _find_server
from tests.support.gateway import PATIENCE_SECONDS


class OwnValkey:
    """A Valkey at a Unix socket. It keeps nothing, so that one started again is empty."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "valkey.sock"
        self._process: Process | None = None

    @property
    def url(self) -> str:
        """Where it is, or will be."""
        return f"unix://{self._socket}"

    async def start(self) -> None:
        """Start it and wait until it takes connections."""
        options = ("--port", "0", "--save", "", "--appendonly", "no", "--unixsocket", str(self._socket))
        self._process = await asyncio.create_subprocess_exec(
            str(_find_server()), *options, cwd=self._socket.parent, stdin=DEVNULL, stdout=PIPE
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for line in self._process.stdout:
                if b"Ready to accept connections" in line:
                    return
        raise AssertionError("valkey-server ended before it was ready")

    async def kill(self) -> None:
        """Kill it, as a crash does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Stop it from doing anything, connections and all."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def client(self) -> Redis:
        """Give a client of it that waits as long as it takes, to be closed by the caller."""
        return Redis.from_url(self.url, socket_timeout=None)


@asynccontextmanager
async def own_valkey(folder: Path, *, started: bool = True) -> AsyncIterator[OwnValkey]:
    """Keep a Valkey in a folder while the context lasts."""
    server = OwnValkey(folder)
    try:
        if started:
            await server.start()
        yield server
    finally:
        await server.kill()


async def entries_in(redis: Redis, merchant: int | str = "*") -> list[str]:
    """Name the entries in a Redis, of one merchant or of all; what else the service keeps there is no entry."""
    found = [name.decode() async for name in redis.scan_iter(f"*:{{{merchant}}}")]
    return [name for name in found if name.endswith("}") and name[name.index("{") + 1 : -1].isdigit()]
