"""The service as its users run it: a process of its own, spoken to over the wire."""

import asyncio
import json
import os
import secrets
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from socket import create_server
from typing import Any

import httpx

from app.access.callers import hash_key
from app.cli.key import format_client
from sandbox import Sandbox
from tests.support.expired_answers import ageing
from tests.support.fork_server import Fork, fork, inherited

KEY = "tg_gateway"
TOKEN = "canary-token-3d1f"
PATIENCE_SECONDS = 30
"""How long any single wait may take on a machine that is busy with something else."""

_LONGEST_LINE_BYTES = 1 << 24
_SHARE = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 2
"""Of the ports, one process of the tests has the even ones, the other one the odd ones."""

_given: set[int] = set()


class Gateway:
    """A gateway process: its URL, a client with a key that may read everything, and what it has written."""

    def __init__(self, process: Process | Fork, url: str, client: httpx.AsyncClient) -> None:
        self.process = process
        self.url = url
        self.client = client
        self.lines: list[str] = []
        self.output = ""
        self._events: list[dict[str, Any]] = []
        self._news = asyncio.Condition()

    @property
    def events(self) -> list[dict[str, Any]]:
        """The log so far, decoded. A line that is no JSON fails the test."""
        self._events += [json.loads(line) for line in self.lines[len(self._events) :]]
        return self._events

    def named(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """The log lines of an event so far, of those with these fields."""
        wanted = {"event": event, **fields}
        return [line for line in self.events if wanted.items() <= line.items()]

    async def logged(self, event: str, count: int = 1, **fields: object) -> dict[str, Any]:
        """Wait until an event has been logged so many times and give the last of them."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._news:
            await self._news.wait_for(lambda: len(self.named(event, **fields)) >= count or self._is_over())
        assert len(self.named(event, **fields)) >= count, self.lines
        return self.named(event, **fields)[count - 1]

    async def listen(self) -> None:
        """Collect what the process writes, until it ends."""
        await asyncio.gather(self._listen_to_log(), self._listen_to_output())
        await self.process.wait()
        async with self._news:
            self._news.notify_all()

    async def _listen_to_log(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            async with self._news:
                self.lines.append(line.decode())
                self._news.notify_all()

    async def _listen_to_output(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.output += line.decode()

    def _is_over(self) -> bool:
        return self.process.returncode is not None

    async def ended(self) -> int:
        """Wait until the process has ended and give its exit status."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        self.process.send_signal(number)

    async def get(self, path: str, **headers: str) -> httpx.Response:
        """Ask with the key that may read everything; header names are written with underscores."""
        return await self.client.get(path, headers={name.replace("_", "-"): text for name, text in headers.items()})


@asynccontextmanager
async def run_gateway(
    upstream: Sandbox,
    folder: Path,
    *,
    environment: Mapping[str, str] | None = None,
    place: Path | None = None,
    own_session: bool = False,
    **settings: object,
) -> AsyncIterator[Gateway]:
    """Run `tallygate serve` against an upstream; `settings` are further settings, by their names in lower case.

    Forked from a process that has imported the program, with `place` for its temporary and its working directory, by
    which its processes are found; with `own_session` it leads a group of its own. With an `environment` of further
    variables it is started afresh, as its users do: its arguments and variables can be seen from outside.
    """
    port = free_port()
    given = {"drain_seconds": 0, "port": port, "clients_file": folder / f"clients-{port}.toml", **settings}
    write_clients(folder / f"clients-{port}.toml")
    further = environment or ({"TMPDIR": str(place)} if place else {})
    variables = {**serving(upstream.url, **given), **further}
    process = await (
        start(variables, "serve") if environment else fork(variables, "serve", folder=place, own_session=own_session)
    )
    url = f"http://127.0.0.1:{given['port']}"
    transport = httpx.AsyncHTTPTransport(verify=False, retries=5)
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(
        base_url=url,
        headers=headers,
        transport=transport,
        timeout=PATIENCE_SECONDS,
        event_hooks=ageing(settings),
    ) as client:
        gateway = Gateway(process, url, client)
        hearing = asyncio.create_task(gateway.listen())
        try:
            await gateway.logged("server.started", int(str(given.get("workers", 1))))
            await listening(int(str(given["port"])))
            yield gateway
        finally:
            await stop(process)
            async with asyncio.timeout(PATIENCE_SECONDS):
                await hearing
    assert all(event["event"] for event in gateway.events)


def newcomer(url: str = "", headers: Mapping[str, str] | None = None) -> httpx.AsyncClient:
    """Give a client without connections yet. It speaks plain HTTP: to read the authorities of TLS would take 38 ms."""
    return httpx.AsyncClient(base_url=url, headers=headers, verify=False, timeout=PATIENCE_SECONDS)


def serving(upstream_url: str, /, **settings: object) -> dict[str, str]:
    """Give the variables that `tallygate serve` cannot do without, but for the port and the clients, and `settings`."""
    needed = {"upstream_url": upstream_url, "upstream_token": TOKEN, "upstream_rate": 1000}
    return as_variables({**needed, **settings})


def as_variables(settings: Mapping[str, object]) -> dict[str, str]:
    """Name settings as the environment does. One that is None is not set."""
    return {f"TALLYGATE_{name.upper()}": str(value) for name, value in settings.items() if value is not None}


def write_clients(path: Path) -> Path:
    """Write a clients file with one client, who may read everything."""
    path.write_text(format_client("all", hash_key(KEY), "all", portfolio=True))
    return path


async def start(environment: Mapping[str, str], *command: str) -> Process:
    """Start `tallygate` with nothing of ours in its environment but `environment`."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "app",
        *command,
        env={**inherited(), **environment},
        stdout=PIPE,
        stderr=PIPE,
        limit=_LONGEST_LINE_BYTES,
    )


async def stop(process: Process | Fork) -> None:
    """End a process, killing it if it does not go by itself."""
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        raise


async def listening(port: int) -> None:
    """Wait until somebody takes connections on a port."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0)
            else:
                writer.close()
                return


def free_port() -> int:
    """Give a port that nobody listens on, none of those that connections or other tests may take meanwhile."""
    while True:
        port = 10_000 + 2 * secrets.randbelow(11_000) + _SHARE
        if port not in _given:
            with suppress(OSError), create_server(("127.0.0.1", port)):
                _given.add(port)
                return port
