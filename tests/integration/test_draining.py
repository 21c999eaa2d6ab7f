"""How the service ends without anybody noticing: it says that it will, goes on answering, and then it is gone."""

import asyncio
import signal
from pathlib import Path

import httpx
import pytest

from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.gateway import KEY, free_port, newcomer, run_gateway
from tests.support.processes import all_gone, left_in, processes_of
from tests.support.raw_http import connect

PATH = "/v1/merchants/12345/balances"
LONG = 600


async def test_a_draining_service_answers_and_sends_everybody_elsewhere(
    shared_upstream: Sandbox, valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    apart = free_port()
    async with run_gateway(
        shared_upstream, tmp_path, redis_url=valkey.url, drain_seconds=LONG, workers=2, metrics_port=apart
    ) as gateway:
        assert "connection" not in (await gateway.get(PATH)).headers
        gateway.signal(signal.SIGTERM)
        await gateway.logged("server.draining", 2)
        async with newcomer(f"http://127.0.0.1:{apart}") as probe:
            ready, alive = await probe.get("/health/ready"), await probe.get("/health/live")
            assert (ready.status_code, ready.json()["status"], alive.status_code) == (503, "draining", 200)
        for _ in range(20):
            async with newcomer(gateway.url) as client:
                ready = await client.get("/health/ready")
                alive = await client.get("/health/live")
                balances = await client.get(PATH, headers={"Authorization": f"Bearer {KEY}"})
            assert (ready.status_code, ready.json()["status"]) == (503, "draining")
            assert (alive.status_code, balances.status_code) == (200, 200)
            assert balances.headers["connection"] == "close"
        gateway.signal(signal.SIGTERM)
        assert await gateway.ended() == 0
        await gateway.logged("server.stopped", 2)


async def test_a_connection_is_closed_after_the_answer_that_says_so(
    shared_upstream: Sandbox, valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    async with run_gateway(shared_upstream, tmp_path, redis_url=valkey.url, drain_seconds=LONG) as gateway:
        async with connect(gateway.url) as wire:
            gateway.signal(signal.SIGTERM)
            await gateway.logged("server.draining")
            wire.send(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (answer := await wire.answer()) is not None
            assert (answer[0], answer[1]["connection"]) == (200, "close")
            wire.send(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await wire.answer() is None
        gateway.signal(signal.SIGTERM)
        assert await gateway.ended() == 0


@pytest.mark.parametrize("workers", [1, 2])
async def test_idle_connections_do_not_hold_up_the_end(
    shared_upstream: Sandbox, valkey: EmbeddedValkey, tmp_path: Path, workers: int
) -> None:
    async with run_gateway(
        shared_upstream, tmp_path, redis_url=valkey.url, drain_seconds=0.3, workers=workers
    ) as gateway:
        await asyncio.gather(*(gateway.get(PATH) for _ in range(20)))  # they stay open in the client's pool
        gateway.signal(signal.SIGTERM)
        assert await gateway.ended() == 0
        await gateway.logged("server.stopped", workers)


async def test_a_second_signal_cuts_off_what_still_runs(
    shared_upstream: Sandbox, valkey: EmbeddedValkey, tmp_path: Path, private_tmp: Path
) -> None:
    async with run_gateway(
        shared_upstream,
        tmp_path,
        place=private_tmp,
        redis_url=valkey.url,
        drain_seconds=LONG,
        upstream_timeout_seconds=LONG,
    ) as gateway:
        processes = processes_of(private_tmp)
        before = shared_upstream.counters.balance_calls
        with shared_upstream.fault("hang", merchants=[12345]):
            exchange = asyncio.create_task(gateway.get(PATH, Cache_Control="no-cache"))
            await shared_upstream.calls(before + 1)
            gateway.signal(signal.SIGTERM)
            await gateway.logged("server.draining")
            assert gateway.named("server.cut_off") == []
            gateway.signal(signal.SIGTERM)
            assert await gateway.ended() == 0
        assert await gateway.logged("server.cut_off")
        with pytest.raises(httpx.HTTPError):
            await exchange
        await all_gone(processes)
        assert left_in(private_tmp) == []
