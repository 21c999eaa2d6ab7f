"""Valkey servers of a test's own: to be killed, frozen, and started again."""

import asyncio
import signal
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as NoConnection

from app.redis.embedded import _find_server
from tests.support.gateway import PATIENCE_SECONDS
from tests.support.polling import ask_until

_BETWEEN_QUESTIONS_SECONDS = 0.02


class Valkey:
    """A server that keeps nothing on disk, at a port or, without one, at a Unix socket; started as often as you like.

    `arguments` are its command line; `url` is where it is asked what a test asks.
    """

    def __init__(self, port: int, url: str, arguments: list[str]) -> None:
        self.port = port
        self.url = url
        self._arguments = arguments
        self._process: Process | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        self._process = await asyncio.create_subprocess_exec(str(_find_server()), *self._arguments, stdout=DEVNULL)
        await self.until(self._answers)

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        """Ask until something holds of which nobody is told. A server that dies meanwhile fails the test."""
        assert self._process is not None
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await holds():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._process.wait(), _BETWEEN_QUESTIONS_SECONDS)
                assert self._process.returncode is None, self._arguments

    def freeze(self) -> None:
        """Stop its process in its tracks; its connections stay open."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen one go on."""
        self._signal(signal.SIGCONT)

    async def kill(self) -> None:
        """Kill it, however it is, as a crash does."""
        if self._process is None:
            return
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    def client(self) -> Redis:
        """Give a client of it that waits as long as it takes, to be closed by the caller."""
        return Redis.from_url(self.url, socket_timeout=None)

    async def ask(self, *command: str) -> Any:
        """Send a command from a connection of its own."""
        async with Redis.from_url(self.url, decode_responses=True) as client:
            return await client.execute_command(*command)  # type: ignore[no-untyped-call]

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def _answers(self) -> bool:
        try:
            return bool(await self.ask("PING"))
        except NoConnection:
            return False


@asynccontextmanager
async def keep_valkey(port: int = 0, **options: object) -> AsyncIterator[Valkey]:
    """Keep a server in a folder of its own (a socket's path is to be short), to be started, and kill it at the end."""
    with TemporaryDirectory(prefix="valkey-") as folder:
        socket = Path(folder, "valkey.sock")
        place = {"port": port} if port else {"port": 0, "unixsocket": socket}
        given = {**place, "bind": "127.0.0.1", "dir": folder, "save": "", "appendonly": "no", **options}
        server = Valkey(port, f"redis://127.0.0.1:{port}" if port else f"unix://{socket}", _named(given))
        try:
            yield server
        finally:
            await server.kill()


@asynccontextmanager
async def run_valkey(port: int = 0, **options: object) -> AsyncIterator[Valkey]:
    """Run a server in a folder of its own."""
    async with keep_valkey(port, **options) as server:
        await server.start()
        yield server


@asynccontextmanager
async def run_sentinel(port: int) -> AsyncIterator[Valkey]:
    """Run a Sentinel that watches nobody yet. It wants a configuration file of its own, to write what it learns."""
    with TemporaryDirectory(prefix="sentinel-") as folder:
        arguments = [
            _make_empty(Path(folder, "sentinel.conf")),
            "--sentinel",
            *_named({"port": port, "bind": "127.0.0.1", "dir": folder}),
        ]
        server = Valkey(port, f"redis://127.0.0.1:{port}", arguments)
        try:
            await server.start()
            yield server
        finally:
            await server.kill()


def _make_empty(file: Path) -> str:
    file.touch()
    return str(file)


def _named(options: dict[str, object]) -> list[str]:
    return [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))]


async def entries_in(redis: Redis, merchant: int | str = "*") -> list[str]:
    """Name the entries in a Redis, of one merchant or of all; what else the service keeps there is no entry."""
    found = [name.decode() async for name in redis.scan_iter(f"*:{{{merchant}}}")]
    return [name for name in found if name.endswith("}") and name[name.index("{") + 1 : -1].isdigit()]


async def stored_entries(redis: Redis, merchant: int | str = "*", *, count: int = 1) -> list[str]:
    """Name the entries in a Redis once there are so many: an answer does not wait until its entry is stored."""
    return await ask_until(lambda: entries_in(redis, merchant), lambda found: len(found) >= count)
