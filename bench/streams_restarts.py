"""Readers of streams behind nginx while gateways drain and are killed: each last event must be the newest snapshot.

    .venv/bin/python -m bench.streams_restarts [--turns 40] [--readers 25]

Needs nginx. In each turn merchants move, one of two gateways gets SIGTERM or SIGKILL and is started again, and some
readers close their connections themselves. Then every reader must have the truth, within 30 s. Exits with 1 otherwise.
"""

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any

import httpx

from app.access.callers import hash_key, make_key
from app.cli.key import format_client
from app.redis.embedded import EmbeddedValkey
from bench.rolling import await_listening, end, end_all, free_port, run_nginx, start_gateway
from sandbox import Sandbox

MERCHANTS = range(10_001, 10_006)
WATCH = f"/v1/watch?merchantId={','.join(map(str, MERCHANTS))}&within=5&format=jsonl"
PATIENCE_SECONDS = 30
READER_SECONDS = 30


class Reader:
    """Follow a stream, come again after each end with the last cursor, and keep the last event of each merchant."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._cursor: str | None = None
        self.newest: dict[int, Any] = {}
        self.met: Counter[str] = Counter()
        self.told: list[tuple[float, object]] = []
        self._cut = asyncio.Event()

    def cut(self) -> None:
        """Close the connection."""
        self._cut.set()

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            self._cut.clear()
            reading = asyncio.create_task(self._read())
            cutting = asyncio.create_task(self._cut.wait())
            try:
                await asyncio.wait((reading, cutting), return_when=asyncio.FIRST_COMPLETED)
            finally:
                reading.cancel()
                cutting.cancel()
                await asyncio.gather(reading, cutting, return_exceptions=True)
            await asyncio.sleep(0.2)

    def has(self, truth: dict[int, str]) -> bool:
        """Return whether the last event of each merchant is the truth, and fresh."""
        shown = {merchant: data.get("balances", [{}])[0].get("total") for merchant, data in self.newest.items()}
        return shown == truth and all(data["status"] == "fresh" for data in self.newest.values())

    async def _read(self) -> None:
        headers = {} if self._cursor is None else {"Last-Event-ID": self._cursor}
        try:
            async with self._client.stream("GET", WATCH, headers=headers) as response:
                async for line in response.aiter_lines():
                    self._take(json.loads(line))
                self.told.append((time.monotonic(), f"the end, {response.status_code}"))
        except (httpx.TransportError, ValueError):  # half a line, where a gateway was killed
            self.met["broken"] += 1
            self.told.append((time.monotonic(), "broken"))

    def _take(self, event: dict[str, Any]) -> None:
        self._cursor = event.get("id", self._cursor)
        self.told.append((time.monotonic(), event))
        del self.told[:-20]
        match event["event"]:
            case "hello":
                self.met[event["data"]["resumed"]] += 1
            case "balances":
                self.newest[event["data"]["merchantId"]] = event["data"]
            case "end":
                self.met[event["data"]["reason"]] += 1


async def main(turns: int, count: int) -> int:
    """Run the turns, and print what the readers met."""
    key, random, truth = make_key(), Random(0), dict[int, str]()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        valkey = stack.enter_context(EmbeddedValkey())
        upstream = await stack.enter_async_context(Sandbox())
        client = format_client("bench", hash_key(key), "all", portfolio=False) + "streams = 1000\n"
        (folder / "clients.toml").write_text(client)
        ports = [free_port() for _ in range(2)]
        settings = {"UPSTREAM_URL": upstream.url, "UPSTREAM_TOKEN": "sandbox-token", "REDIS_URL": valkey.url}
        settings |= {"CLIENTS_FILE": str(folder / "clients.toml"), "LOG_LEVEL": "error", "DRAIN_SECONDS": "2"}
        settings |= {"UPSTREAM_RATE": "100"}
        gateways = [await start_gateway(port, settings) for port in ports]
        stack.push_async_callback(end_all, gateways)
        balancer = await stack.enter_async_context(run_nginx(folder, ports))
        readers = [
            Reader(await stack.enter_async_context(_client(f"http://127.0.0.1:{balancer}", key))) for _ in range(count)
        ]
        group = await stack.enter_async_context(asyncio.TaskGroup())
        tasks = [group.create_task(reader.run()) for reader in readers]
        failed = 0
        for turn in range(turns):
            _move(upstream, truth, MERCHANTS if turn == 0 else random.sample(MERCHANTS, 2))
            await asyncio.sleep(random.choice([0.1, 3, 12]))
            _move(upstream, truth, random.sample(MERCHANTS, 2))
            place = turn % 2
            await end(gateways[place], random.choice([signal.SIGTERM, signal.SIGKILL]))
            await await_listening(ports[place], wanted=False)
            for reader in random.sample(readers, count // 5):
                reader.cut()
            _move(upstream, truth, random.sample(MERCHANTS, 1))
            gateways[place] = await start_gateway(ports[place], settings)
            failed += await _count_wrong(readers, truth)
        for task in tasks:
            task.cancel()
    print(f"{turns} turns, {count} readers, {failed} wrong; {dict(sum((one.met for one in readers), Counter[str]()))}")
    return 1 if failed else 0


def _client(url: str, key: str) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.AsyncClient(base_url=url, headers=headers, verify=False, timeout=READER_SECONDS)


def _move(upstream: Sandbox, truth: dict[int, str], merchants: Sequence[int]) -> None:
    for merchant in merchants:
        truth[merchant] = total = f"{int(float(truth.get(merchant, merchant))) + 1}"
        row = {"assetId": "USDT", "asset": "USDT", "assetName": "USDT", "total": total, "free": total, "locked": "0"}
        upstream.world.set(merchant, [row])


async def _count_wrong(readers: Sequence[Reader], truth: dict[int, str]) -> int:
    """Wait until every reader has the truth. Return how many have not in time."""
    for _ in range(PATIENCE_SECONDS * 10):
        if all(reader.has(truth) for reader in readers):
            return 0
        await asyncio.sleep(0.1)
    wrong = [reader for reader in readers if not reader.has(truth)]
    for reader in wrong:
        print(f"wanted {truth}", *reader.told[-12:], *reader.newest.items(), f"now {time.monotonic()}", sep="\n  ")
    return len(wrong)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--readers", type=int, default=25)
    options = parser.parse_args()
    sys.exit(asyncio.run(main(options.turns, options.readers)))
