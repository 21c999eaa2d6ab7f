"""The Python client watches a real gateway through kills, drains, refusals and a network that is dead."""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
from tallygate_client import AsyncClient, Balances, Disconnected, FreshPart, Hello, Synced, TallygateError

from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.faulty_network import faulty_network
from tests.support.gateway import KEY, PATIENCE_SECONDS, free_port, run_gateway

MERCHANT = 12345
SILENCE_SECONDS = 1.0


class Impatient(httpx.AsyncHTTPTransport):
    """Waits less for the next byte of a stream than the client would: its test is over sooner."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/watch":
            request.extensions["timeout"]["read"] = SILENCE_SECONDS
        return await super().handle_async_request(request)


class Watcher:
    """A program that watches: what it shows, whether that is live, and the gaps with their statuses."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self.shown: dict[str, Decimal] = {}
        self.is_live = False
        self.gaps: list[tuple[str, int | None]] = []
        self._news = asyncio.Condition()

    async def run(self) -> None:
        async for event in self._client.watch([MERCHANT], within=5):
            async with self._news:
                self._take(event)
                self._news.notify_all()

    def _take(self, event: object) -> None:
        match event:
            case Hello(resumed=resumed) if resumed != "complete":
                self.shown = {}
            case Balances(part=FreshPart(balances=rows)):
                self.shown = {row.asset_id: row.total for row in rows}
            case Synced():
                self.is_live = True
            case Disconnected():
                self.is_live = False
                self.gaps.append((event.reason, getattr(event.error, "status", None)))

    async def until(self, fits: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS), self._news:
            await self._news.wait_for(fits)


def totals(upstream: Sandbox) -> dict[str, Decimal]:
    account = upstream.world.account(MERCHANT)
    assert account is not None
    return {str(row["assetId"]): Decimal(str(row["total"])) for row in account.balances}


async def stir(upstream: Sandbox, client: AsyncClient) -> None:
    """Let something be said more often than the wire may be silent."""
    while True:
        upstream.world.move(MERCHANT)
        with suppress(TallygateError):
            await client.get_merchant_balances(MERCHANT, no_cache=True)
        await asyncio.sleep(0.2)


async def sleep_briefly(seconds: float) -> None:
    await asyncio.sleep(min(seconds, 0.05))


async def test_the_last_state_is_the_newest_and_each_gap_is_said(valkey: EmbeddedValkey, tmp_path: Path) -> None:
    upstream = Sandbox(scenario="document", token="canary-token-3d1f")
    port = free_port()
    settings: dict[str, Any] = {"redis_url": valkey.url, "port": port, "fresh_seconds": 1, "own_session": True}
    async with (
        upstream,
        faulty_network(port) as network,
        httpx.AsyncClient(transport=Impatient()) as http,
        asyncio.TaskGroup() as tasks,
    ):
        watcher = Watcher(AsyncClient(network.url, KEY, http=http, sleep=sleep_briefly))
        other = AsyncClient(f"http://127.0.0.1:{port}", KEY, http=http, deadline_seconds=1)

        async def until_newest() -> None:
            await watcher.until(lambda: watcher.is_live and watcher.shown == totals(upstream))

        async def until_gap(reason: str, status: int | None = None) -> None:
            await watcher.until(lambda: (reason, status) in watcher.gaps)
            watcher.gaps.clear()

        async with run_gateway(upstream, tmp_path, **settings) as gateway:
            running = [tasks.create_task(watcher.run()), tasks.create_task(stir(upstream, other))]
            await until_newest()
            watcher.gaps.clear()
            os.killpg(gateway.process.pid, signal.SIGKILL)
            await until_gap("failed")
        async with run_gateway(upstream, tmp_path, **settings):
            await until_newest()
            network.refuse()
            await until_gap("failed", 503)
            network.state = "forwarding"
            await until_newest()
            network.state = "silent"
            await until_gap("silent")
            network.state = "forwarding"
            await until_newest()
            watcher.gaps.clear()
        await until_gap("draining")
        async with run_gateway(upstream, tmp_path, **settings):
            await until_newest()
            for task in running:
                task.cancel()
