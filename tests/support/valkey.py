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

from app.cache.embedded import _find_server
from tests.support.gateway import PATIENCE_SECONDS

_BETWEEN_QUESTIONS_SECONDS = 0.02


class Valkey:
    """A server that keeps nothing on disk, at a port or, without one, at a Unix socket; started as often as you like.

    `arguments` are its command line; `url` is where it is asked what a test asks.
    """

    def __init__(self, port: int, url: str, arguments: list[str]) -> None:
        self.port = port
        self.url = url
        self._arguments = arguments
        self._process: Process

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        self._process = await asyncio.create_subprocess_exec(str(_find_server()), *self._arguments, stdout=DEVNULL)
        await self.until(self._answers)

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        """Ask until something holds of which nobody is told. A server that dies meanwhile fails the test."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await holds():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._process.wait(), _BETWEEN_QUESTIONS_SECONDS)
                assert self._process.returncode is None, self._arguments

    def freeze(self) -> None:
        """Stop its process in its tracks; its connections stay open."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen one go on."""
        self._process.send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        """Kill it, however it is."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def ask(self, *command: str) -> Any:
        """Send a command from a connection of its own."""
        async with Redis.from_url(self.url, decode_responses=True) as client:
            return await client.execute_command(*command)  # type: ignore[no-untyped-call]

    async def _answers(self) -> bool:
        try:
            return bool(await self.ask("PING"))
        except NoConnection:
            return False


@asynccontextmanager
async def run_valkey(port: int = 0, **options: object) -> AsyncIterator[Valkey]:
    """Run a server in a folder of its own (a socket's path is to be short) and kill it at the end."""
    with TemporaryDirectory(prefix="valkey-") as folder:
        socket = Path(folder, "valkey.sock")
        place = {"port": port} if port else {"port": 0, "unixsocket": socket}
        given = {**place, "bind": "127.0.0.1", "dir": folder, "save": "", "appendonly": "no", **options}
        async with _running(
            Valkey(port, f"redis://127.0.0.1:{port}" if port else f"unix://{socket}", _named(given))
        ) as it:
            yield it


@asynccontextmanager
async def run_sentinel(port: int) -> AsyncIterator[Valkey]:
    """Run a Sentinel that watches nobody yet. It wants a configuration file of its own, to write what it learns."""
    with TemporaryDirectory(prefix="sentinel-") as folder:
        arguments = [
            _make_empty(Path(folder, "sentinel.conf")),
            "--sentinel",
            *_named({"port": port, "bind": "127.0.0.1", "dir": folder}),
        ]
        async with _running(Valkey(port, f"redis://127.0.0.1:{port}", arguments)) as it:
            yield it


def _make_empty(file: Path) -> str:
    file.touch()
    return str(file)


@asynccontextmanager
async def _running(server: Valkey) -> AsyncIterator[Valkey]:
    try:
        await server.start()
        yield server
    finally:
        await server.kill()


def _named(options: dict[str, object]) -> list[str]:
    return [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))]
