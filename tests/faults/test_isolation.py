"""One merchant in trouble is nobody else's trouble, and a dead upstream is left alone."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.gateway import free_port, run_gateway
from tests.support.polling import ask_until, is_ok


async def test_a_hanging_merchant_holds_nobody_else_up(
    shared_upstream: Sandbox, valkey: EmbeddedValkey, tmp_path: Path, merchants: list[int]
) -> None:
    stuck, *others = merchants
    async with run_gateway(
        shared_upstream, tmp_path, redis_url=valkey.url, upstream_timeout_seconds=25, upstream_concurrency=2
    ) as gateway:
        shared_upstream.counters.reset()
        with shared_upstream.fault("hang", merchants=[stuck]):
            waiting = [asyncio.create_task(gateway.get(f"/v1/merchants/{stuck}/balances")) for _ in range(50)]
            await shared_upstream.calls(1)
            for merchant in others:
                assert (await gateway.get(f"/v1/merchants/{merchant}/balances")).status_code == 200
            assert not any(task.done() for task in waiting)
            assert shared_upstream.counters.by_merchant[stuck] == 1
        assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {200}
        assert shared_upstream.counters.by_merchant[stuck] == 1


async def test_a_caller_that_gives_up_does_not_end_the_fetch_for_others(
    shared_upstream: Sandbox, valkey: EmbeddedValkey, tmp_path: Path, merchants: list[int]
) -> None:
    path = f"/v1/merchants/{merchants[0]}/balances"
    async with run_gateway(shared_upstream, tmp_path, redis_url=valkey.url, upstream_timeout_seconds=25) as gateway:
        shared_upstream.counters.reset()
        with shared_upstream.fault("hang", merchants=merchants):
            first = asyncio.create_task(gateway.get(path))
            await shared_upstream.calls(1)
            second = asyncio.create_task(gateway.get(path))
            first.cancel()
            await asyncio.wait([first])
            assert (await gateway.get("/health/live")).status_code == 200
        assert (await second).status_code == 200
        assert shared_upstream.counters.by_merchant[merchants[0]] == 1


async def test_a_dead_upstream_is_left_alone_and_found_again(
    shared_upstream: Sandbox, valkey: EmbeddedValkey, tmp_path: Path, unasked: Iterator[int]
) -> None:
    paths = [f"/v1/merchants/{merchant}/balances" for merchant in itertools.islice(unasked, 200)]
    async with run_gateway(
        shared_upstream,
        tmp_path,
        redis_url=valkey.url,
        redis_timeout_seconds=5,
        upstream_concurrency=4,
        absent_seconds=0,
        fresh_seconds=0,
        stale_while_revalidate_seconds=0,
    ) as gateway:
        shared_upstream.counters.reset()
        with shared_upstream.fault("close", share=0.5), shared_upstream.fault("status", status=503):
            answers = await asyncio.gather(*(gateway.get(path) for path in paths))
            told = Counter(answer.json()["type"].rpartition("/")[2] for answer in answers)
            assert {answer.status_code for answer in answers} == {503}
            assert set(told) <= {"breaker-open", "upstream-unreachable", "upstream-faulty"}
            assert all("retryAfter" in answer.json() for answer in answers if "breaker" in answer.json()["type"])
            # forty failures open it while so many wait, some of them of two calls; three more may be under way, and a probe follows each pause
            assert shared_upstream.counters.balance_calls <= 2 * 40 + 3 + 12
        await ask_until(lambda: gateway.get(paths[0]), is_ok)
        assert {(await gateway.get(path)).status_code for path in paths[:20]} == {200}
        assert len(gateway.named("upstream.breaker_opened")) == 1
        assert len(gateway.named("upstream.breaker_closed")) == 1


async def test_an_upstream_that_refuses_connections_is_reported_as_such(
    shared_upstream: Sandbox, valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    async with run_gateway(shared_upstream, tmp_path, redis_url=valkey.url, upstream_url=nowhere) as gateway:
        answer = await gateway.get("/v1/portfolio")
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/upstream-unreachable")
        assert "connection refused" in (await gateway.logged("upstream.failed"))["detail"]
        ready = await gateway.get("/health/ready")
        assert (ready.status_code, ready.json()["token"]) == (200, "untried")
