"""A server that gives an answer to the wrong command: nobody takes it for the own one."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from structlog.testing import capture_logs

from app.redis.batching import ScriptBatcher
from app.redis.client import RedisClient, RedisFailure
from app.redis.connections import connect
from app.redis.results import read_bytes
from app.redis.scripts import make_script, make_single, run_single
from app.resilience.circuit_breaker import CircuitBreaker
from app.resilience.supervision import supervised
from app.runtime import Runtime
from tests.support.odd_redis import OddRedis, run_odd_redis
from tests.support.polling import ask_until
from tests.support.valkey import Valkey, run_valkey

ECHO = make_script("return ARGV[1]", read_bytes)
SINGLE_ECHO = make_single("return ARGV[1]")
WORDS = [b"%d" % number for number in range(10)]
Distort = Callable[[bytes], bytes]


def doubled() -> Distort:
    """Answer twice."""
    return lambda answer: answer * 2


def late() -> Distort:
    """Answer with what belongs to the command before, from the second one on."""
    former: list[bytes] = []

    def distort(answer: bytes) -> bytes:
        former.append(answer)
        return former[max(0, len(former) - 2)]

    return distort


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Valkey]:
    async with run_valkey() as server:
        yield server


@pytest.fixture
async def odd(server: Valkey) -> AsyncIterator[OddRedis]:
    async with run_odd_redis(server) as odd:
        yield odd


@pytest.fixture
async def client(odd: OddRedis) -> AsyncIterator[RedisClient]:
    runtime = Runtime(random=lambda: 0.0)
    breaker = CircuitBreaker(runtime, threshold=3, first_pause_seconds=0.1, longest_pause_seconds=0.2)
    client = RedisClient(lambda: connect(odd.url, 5), breaker=breaker, timeout_seconds=5, runtime=runtime)
    async with supervised(renewal=client.renew_while_refused):
        yield client
    await client.close()


@pytest.mark.parametrize("distortion", [doubled, late])
async def test_a_batch_gets_its_own_answer_or_none(
    odd: OddRedis, client: RedisClient, distortion: Callable[[], Distort]
) -> None:
    batcher = ScriptBatcher(client)

    async def echo() -> list[object]:
        """Send one batch for each word, without waiting for the answers."""
        results = []
        for word in WORDS:
            results.append(batcher.run(ECHO, ["a"], [word]))
            await asyncio.sleep(0)
        return list(await asyncio.gather(*results))

    assert await echo() == WORDS
    await batcher.close()
    odd.distort = distortion()
    with capture_logs() as logs:
        found = await echo()
    assert [one for one, word in zip(found, WORDS, strict=True) if one not in (word, RedisFailure.UNAVAILABLE)] == []
    assert "redis.unusable" in {line["event"] for line in logs}
    odd.distort = bytes
    await ask_until(echo, lambda found: found == WORDS)
    await batcher.close()


async def test_a_script_that_runs_alone_gets_its_own_answer_or_none(odd: OddRedis, client: RedisClient) -> None:
    async def echo(word: bytes) -> object:
        return await client.execute(lambda: run_single(client.client, SINGLE_ECHO, ["a"], [word]), read_bytes)

    assert [await echo(word) for word in WORDS] == WORDS
    odd.distort = late()
    assert [await echo(word) for word in WORDS] == [WORDS[0], *[RedisFailure.UNAVAILABLE] * (len(WORDS) - 1)]
    odd.distort = bytes
    await ask_until(lambda: echo(b"word"), lambda found: found == b"word")
