"""A log that cannot be written, or that nobody reads, takes nothing from the callers; what is lost is reported."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fcntl import F_SETPIPE_SZ, fcntl
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox import Sandbox
from tests.support.fork_server import inherited
from tests.support.gateway import KEY, as_variables, free_port, listening, newcomer, serving, stop, write_clients
from tests.support.polling import ask_until
from tests.support.scrapes import scrape

PATH = "/v1/merchants/12345/balances"
BATCH = "/v1/balances?merchantId=12345,1"
SETTINGS = {
    "audit": "all",  # so that each request has its line
    "log_level": "debug",
    "fresh_seconds": 0,
    "stale_while_revalidate_seconds": 0,
    "drain_seconds": 0,
    "upstream_timeout_seconds": 1,
}


class Log:
    """Standard error of a gateway: a pipe of one page, the full device, or a descriptor that is closed."""

    def __init__(self) -> None:
        self.reader, self.output = os.pipe()
        fcntl(self.output, F_SETPIPE_SZ, 4096)

    async def events(self) -> list[dict[str, Any]]:
        """Read all, until the last process has closed it."""
        with os.fdopen(self.reader, "rb") as reader:
            return [json.loads(line) for line in (await asyncio.to_thread(reader.read)).splitlines()]


@asynccontextmanager
async def run(upstream: Sandbox, folder: Path, output: int, *shell: str) -> AsyncIterator[httpx.AsyncClient]:
    """Run the gateway with a standard error of its own."""
    port = free_port()
    settings = {**SETTINGS, "port": port, "clients_file": write_clients(folder / "clients.toml")}
    environment = {**inherited(), **serving(upstream.url), **as_variables(settings)}
    command = [*shell, sys.executable, "-m", "app", "serve"]
    process = await asyncio.create_subprocess_exec(*command, env=environment, stderr=output, stdout=PIPE)
    try:
        await listening(port)
        async with newcomer(f"http://127.0.0.1:{port}", {"Authorization": f"Bearer {KEY}"}) as client:
            yield client
    finally:
        await stop(process)
    assert process.returncode == 0
    assert process.stdout is not None
    assert await process.stdout.read() == b""


async def assert_all_is_as_ever(client: httpx.AsyncClient, upstream: Sandbox, clients: Path) -> None:
    """Ask for balances, fresh, stale and many, after more lines than a pipe holds; then withdraw the key."""
    for _ in range(60):
        assert (await client.get(PATH)).status_code == 200
    assert (await client.get(BATCH)).status_code == 200
    with upstream.fault("status", status=500):
        stale = await client.get(PATH)
        assert (stale.status_code, stale.headers["cache-status"].split(";")[1]) == (200, " fwd=stale")
        batch = await client.get(BATCH)
        assert [part["status"] for part in batch.json()["merchants"]] == ["stale", "unavailable"]
        new = await client.get("/v1/portfolio")
        assert new.status_code in {502, 503}  # by then the circuit breaker may be open
        assert new.headers["content-type"] == "application/problem+json"
    assert (await client.get("/health/live")).status_code == 200
    assert (await client.get("/health/ready")).json()["status"] == "ready"
    withdraw(clients)
    await ask_until(lambda: client.get(PATH), lambda answer: answer.status_code == 401)


def withdraw(clients: Path) -> None:
    """Give the client of the file another key."""
    text = clients.read_text()
    digest = text.partition('key_sha256 = "')[2][:64]
    clients.write_text(text.replace(digest, digest[::-1]))


@pytest.mark.parametrize("kind", ["full", "no reader", "closed"])
async def test_a_log_that_cannot_be_written_changes_no_answer(
    shared_upstream: Sandbox, tmp_path: Path, kind: str
) -> None:
    log = Log()
    if kind == "full":
        os.close(log.output)
        log.output = os.open("/dev/full", os.O_WRONLY)
    os.close(log.reader)
    shell = ("/bin/sh", "-c", 'exec "$@" 2>&-', "sh") if kind == "closed" else ()
    try:
        async with run(shared_upstream, tmp_path, log.output, *shell) as client:
            await assert_all_is_as_ever(client, shared_upstream, tmp_path / "clients.toml")
            if kind != "closed":
                lost = (await scrape(client)).value("tallygate_log_lines_lost_total")
                assert lost > 60
    finally:
        os.close(log.output)


async def test_a_log_that_nobody_reads_for_a_while_changes_no_answer_and_is_complete_afterwards(
    shared_upstream: Sandbox, tmp_path: Path
) -> None:
    log = Log()
    async with run(shared_upstream, tmp_path, log.output) as client:
        os.close(log.output)
        await assert_all_is_as_ever(client, shared_upstream, tmp_path / "clients.toml")
        assert (await scrape(client)).value("tallygate_log_lines_lost_total") == 0
        reading = asyncio.create_task(log.events())
    events = [event["event"] for event in await reading]
    assert events[0] == "server.started"
    assert events[-1] == "server.stopped"
    assert events.count("audit.answered") >= 60
    assert "upstream.failed" in events
    assert "logs.lost" not in events
