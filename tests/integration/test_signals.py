"""How the service ends, and what it survives."""

import asyncio
import contextlib
import os
import signal
from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest

from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.gateway import PATIENCE_SECONDS, Gateway, listening, newcomer, run_gateway
from tests.support.polling import ask_until
from tests.support.processes import all_gone, left_in, processes_of
from tests.support.raw_http import connect
from tests.support.scrapes import scrape

PATH = "/v1/merchants/12345/balances"
HALF_A_REQUEST = b"GET /health/live HT"
MORE_THAN_IS_READ = 2000 * b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGINT, 1), (signal.SIGINT, 2), (signal.SIGTERM, 2)])
async def test_a_signal_to_the_whole_group_ends_it_well(
    shared_upstream: Sandbox, tmp_path: Path, private_tmp: Path, number: signal.Signals, workers: int
) -> None:
    async with run_gateway(shared_upstream, tmp_path, place=private_tmp, own_session=True, workers=workers) as gateway:
        assert (await gateway.get(PATH)).status_code == 200
        processes = processes_of(private_tmp)
        os.killpg(gateway.process.pid, number)
        assert await gateway.ended() == 0
        await all_gone(processes)
        await gateway.logged("server.stopped", workers)
        assert left_in(private_tmp) == []
        assert gateway.output == ""


@pytest.mark.parametrize("send", [os.kill, os.killpg])
async def test_two_signals_at_once_end_it_as_one_does(
    shared_upstream: Sandbox, tmp_path: Path, private_tmp: Path, send: Callable[[int, int], None]
) -> None:
    async with run_gateway(shared_upstream, tmp_path, place=private_tmp, own_session=True) as gateway:
        processes = processes_of(private_tmp)
        for number in (signal.SIGINT, signal.SIGTERM):
            send(gateway.process.pid, number)
        assert await gateway.ended() == 0
        await all_gone(processes)
        assert left_in(private_tmp) == []


async def test_a_request_under_way_is_answered_before_it_ends(
    shared_upstream: Sandbox, valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    async with run_gateway(shared_upstream, tmp_path, redis_url=valkey.url, upstream_timeout_seconds=60) as gateway:
        before = shared_upstream.counters.balance_calls
        with shared_upstream.fault("hang", merchants=[12345]):
            exchange = asyncio.create_task(gateway.get(PATH, Cache_Control="no-cache"))
            await shared_upstream.calls(before + 1)
            gateway.signal(signal.SIGTERM)
            await refused(gateway)
        assert (await exchange).status_code == 200
        assert await gateway.ended() == 0


@pytest.mark.parametrize("sent", [HALF_A_REQUEST, MORE_THAN_IS_READ], ids=["half a request", "answers unread"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_connection_that_lingers_keeps_no_worker(
    shared_upstream: Sandbox, tmp_path: Path, private_tmp: Path, sent: bytes, number: signal.Signals
) -> None:
    async with run_gateway(
        shared_upstream, tmp_path, place=private_tmp, workers=2, upstream_timeout_seconds=0.5
    ) as gateway:
        processes = processes_of(private_tmp)
        async with connect(gateway.url) as wire:
            wire.send(sent)
            await ask_until(lambda: count_pages(gateway), settled())
            gateway.signal(number)
            await all_gone(processes)
        await gateway.ended()
        await gateway.logged("server.stopped", 2)
        assert gateway.named("worker.killed") == []
        assert not [line for line in gateway.events if "logger" in line]  # of a library, such as asyncio
        assert left_in(private_tmp) == []


@pytest.mark.parametrize("workers", [1, 2])
async def test_workers_serve_are_replaced_when_killed_and_stop(
    shared_upstream: Sandbox, valkey: EmbeddedValkey, tmp_path: Path, workers: int
) -> None:
    async with run_gateway(shared_upstream, tmp_path, redis_url=valkey.url, workers=workers) as gateway:
        pids = [line["pid"] for line in gateway.named("server.started")]
        assert len(set(pids)) == workers
        await assert_it_serves(gateway)
        os.kill(pids[0], signal.SIGKILL)
        started = await gateway.logged("server.started", workers + 1)
        await listening(int(gateway.url.rpartition(":")[2]))
        async with newcomer(gateway.url, gateway.client.headers) as client:
            gateway.client = client  # a killed worker takes its connections with it
            await assert_it_serves(gateway)
            gateway.signal(signal.SIGINT)
            assert await gateway.ended() == 0
        await gateway.logged("server.stopped", workers)
        assert {line["pid"] for line in gateway.named("server.stopped")} == {*pids[1:], started["pid"]}


async def count_pages(gateway: Gateway) -> float:
    """Count the pages that were asked for and not read."""
    return (await scrape(gateway.client)).value("tallygate_http_requests_total", path="/openapi.json")


def settled() -> Callable[[float], bool]:
    """Tell of a number whether it has been the same for a while."""
    seen: deque[float] = deque(maxlen=60)  # longer than the second after which workers share what they count

    def holds(number: float) -> bool:
        seen.append(number)
        return len(seen) == 60 and len(set(seen)) == 1

    return holds


async def assert_it_serves(gateway: Gateway) -> None:
    answers = await asyncio.gather(*(gateway.get(PATH) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}


async def refused(gateway: Gateway) -> None:
    """Wait until the service takes no new connections."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        with contextlib.suppress(OSError):
            while True:
                async with connect(gateway.url):
                    pass
