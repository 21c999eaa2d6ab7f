"""One upstream call for one key, however many ask, in the whole fleet."""

import asyncio
import os
import signal
from pathlib import Path

from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.fleet.conftest import run_fleet, storm


async def test_two_thousand_cold_reads_of_one_key_over_four_replicas_make_one_call(
    upstream: Sandbox, valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    async with run_fleet(upstream, tmp_path, valkey.url) as gateways:
        with upstream.fault("latency", seconds=0.5):
            statuses = await asyncio.gather(*(storm(gateway, 500) for gateway in gateways))
    assert [status for some in statuses for status in some] == [200] * 2000
    assert upstream.counters.balance_calls == 1


async def test_when_the_replica_that_fetches_is_killed_another_takes_over(
    upstream: Sandbox, valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    async with run_fleet(upstream, tmp_path, valkey.url) as (holder, *others):
        with upstream.fault("hang"):
            first = asyncio.create_task(storm(holder, 10))
            await upstream.calls(1)
            waiting = [asyncio.create_task(storm(gateway, 100)) for gateway in others]
            os.kill(holder.named("server.started")[0]["pid"], signal.SIGKILL)
        # The fault ends here: some of the first may be waiting for the worker that replaces the killed one.
        await first
        statuses = await asyncio.gather(*waiting)
    assert [status for some in statuses for status in some] == [200] * 300
    assert upstream.counters.balance_calls <= 2
