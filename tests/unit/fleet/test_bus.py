import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from structlog.testing import capture_logs

from app.balances.snapshots import Absence, AccountId, Entry, Snapshot
from app.cache.served import Source
from app.errors import TallygateError, TokenRefused, Unreachable, UpstreamBusy, UpstreamFaulty
from app.fleet.bus import Bus, Failure, encode_failure
from app.resilience.supervision import supervised
from app.telemetry.metrics import Metrics
from tests.support.replica import CHANNEL, KEY, Replica, Upstream, directives, make_shared, run_replicas
from tests.support.virtual_redis import virtual_redis_time
from tests.support.virtual_time import monotonic, unix_ms

NAME = f"t:{{{KEY}}}"


class Subscriber:
    """A bus, and all that it passed on."""

    def __init__(self, server: FakeServer) -> None:
        self.joins = 0
        self.entries: list[Entry] = []
        self.failures: list[Failure] = []
        self.shared = make_shared(server, "me")
        self.client = self.shared.client.client
        self.bus = Bus(
            self.shared,
            on_subscribed=self._join,
            on_entry=self._take,
            on_failure=self.failures.append,
            on_lease_released=lambda _: None,
            metrics=Metrics(),
        )

    def _join(self) -> None:
        self.joins += 1

    def _take(self, entry: Entry) -> None:
        if entry.account_id == "666":
            raise RuntimeError("broken")
        self.entries.append(entry)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        async with supervised(bus=self.bus.listen):
            await asyncio.sleep(0.01)
            yield
        await self.client.aclose()


@pytest.fixture(autouse=True)
async def _virtual() -> Iterator[None]:  # type: ignore[misc]
    with virtual_redis_time():
        yield


@pytest.fixture
def raw(server: FakeServer) -> FakeAsyncRedis:
    return FakeAsyncRedis(server=server)


@pytest.fixture
async def subscriber(server: FakeServer) -> AsyncIterator[Subscriber]:
    subscriber = Subscriber(server)
    async with subscriber.listening():
        yield subscriber


@pytest.fixture
async def replicas(upstream: Upstream, server: FakeServer) -> AsyncIterator[list[Replica]]:
    async with run_replicas(upstream, server, 3) as running:
        yield running


def _message(sender: str, key: str = KEY) -> bytes:
    return json.dumps({"sender": sender, "entry": {"type": "absent", "key": key, "asOf": 5}}).encode()


async def _publish(raw: FakeAsyncRedis, *messages: bytes) -> None:
    for message in messages:
        await raw.publish(CHANNEL, message)
    await asyncio.sleep(0.01)


async def _lose_and_find(server: FakeServer, seconds: float = 2.5) -> None:
    """Let Redis be away for so long, and all come back to it."""
    server.connected = False
    await asyncio.sleep(seconds)
    server.connected = True
    await asyncio.sleep(1.5)


# Messages


async def test_messages_of_others_are_passed_on(subscriber: Subscriber, raw: FakeAsyncRedis) -> None:
    failure = Failure(KEY, "Unreachable", "x", 2.5, 7)
    await _publish(raw, _message("other"), encode_failure("other", failure))
    assert subscriber.entries == [Absence(KEY, 5)]
    assert subscriber.failures == [failure]


async def test_ones_own_messages_are_ignored(subscriber: Subscriber, raw: FakeAsyncRedis) -> None:
    await _publish(raw, _message("me"), encode_failure("me", Failure(KEY, "Unreachable", "x")))
    assert (subscriber.entries, subscriber.failures) == ([], [])


async def test_a_batch_of_messages_is_read_line_by_line(subscriber: Subscriber, raw: FakeAsyncRedis) -> None:
    lines = [_message("other", "1"), b"nonsense", encode_failure("other", Failure(KEY, "Unreachable", "x"))]
    with capture_logs() as logs:
        await _publish(raw, b"\n".join([*lines, _message("other", "2")]))
    assert [entry.account_id for entry in subscriber.entries] == ["1", "2"]
    assert len(subscriber.failures) == 1
    assert [line["event"] for line in logs] == ["bus.unreadable"]


async def test_ones_own_batch_is_not_even_decoded(subscriber: Subscriber, raw: FakeAsyncRedis) -> None:
    with capture_logs() as logs:
        await _publish(raw, b'{"sender":"me","entry":nonsense}\nnonsense')
        assert logs == []
        await _publish(raw, b'{"sender":"mean","entry":nonsense}')
    assert [line["event"] for line in logs] == ["bus.unreadable"]


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"nonsense",
        b"[]",
        b"{}",
        b"\xff",
        b'{"sender":1}',
        b'{"sender":"x","entry":{"type":"old"}}',
        b"[" * 100_000,
    ],
    ids=lambda message: message[:20].decode("latin-1"),
)
async def test_what_cannot_be_read_is_logged_and_survived(
    subscriber: Subscriber, raw: FakeAsyncRedis, message: bytes
) -> None:
    with capture_logs() as logs:
        await _publish(raw, message, _message("other"))
    assert [line["event"] for line in logs] == ["bus.unreadable"]
    assert subscriber.entries == [Absence(KEY, 5)]


async def test_a_crash_is_logged_and_the_bus_listens_again(subscriber: Subscriber, raw: FakeAsyncRedis) -> None:
    with capture_logs() as logs:
        await _publish(raw, _message("other", "666"))
        assert not subscriber.bus.connected
        await asyncio.sleep(2)
        await _publish(raw, _message("other"))
    assert [line["task"] for line in logs if line["event"] == "task.crashed"] == ["bus"]
    assert (subscriber.joins, subscriber.entries, subscriber.bus.connected) == (2, [Absence(KEY, 5)], True)


async def test_the_bus_moves_with_the_connections_and_loses_nothing_to_log(subscriber: Subscriber) -> None:
    promoted = FakeServer()
    with capture_logs() as logs:
        assert await subscriber.shared.client.switch(lambda: FakeAsyncRedis(server=promoted)) is None
        await asyncio.sleep(4)  # less than old connections stay open
        await _publish(FakeAsyncRedis(server=promoted), _message("other"))
    assert subscriber.entries == [Absence(KEY, 5)]
    assert [line["event"] for line in logs] == ["bus.joined"]


async def test_a_silent_bus_stays_joined(subscriber: Subscriber, raw: FakeAsyncRedis) -> None:
    with capture_logs() as logs:
        await asyncio.sleep(600)
        assert subscriber.bus.connected
        await _publish(raw, _message("other"))
    assert (logs, subscriber.joins, subscriber.entries) == ([], 1, [Absence(KEY, 5)])


async def test_a_loss_is_noticed_logged_once_and_mended(
    subscriber: Subscriber, raw: FakeAsyncRedis, server: FakeServer
) -> None:
    with capture_logs() as logs:
        server.connected = False
        await asyncio.sleep(30)
        assert not subscriber.bus.connected
        server.connected = True
        await asyncio.sleep(3)
        await _publish(raw, _message("other"))
    assert [line["event"] for line in logs] == ["bus.lost", "bus.joined"]
    assert (subscriber.joins, subscriber.entries) == (2, [Absence(KEY, 5)])


@pytest.mark.parametrize("steps", range(16))
async def test_listening_ends_when_it_is_cancelled_even_while_it_joins(server: FakeServer, steps: int) -> None:
    subscriber = Subscriber(server)
    task = asyncio.create_task(subscriber.bus.listen())
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=10)
    is_over = task.done()
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.1)
    assert is_over


# What the replicas make of it


async def test_an_answer_is_in_the_memory_of_all_before_they_ask(replicas: list[Replica], upstream: Upstream) -> None:
    entry = (await replicas[0].cache.read(KEY, directives())).entry
    await asyncio.sleep(0.01)
    assert [replica.memory.get(KEY) for replica in replicas] == [entry] * 3
    came = monotonic()
    assert (await replicas[1].cache.read(KEY, directives())).source is Source.MEMORY
    assert monotonic() == came
    assert upstream.calls == 1


async def test_an_older_answer_replaces_nothing(replicas: list[Replica]) -> None:
    entry = (await replicas[0].cache.read(KEY, directives())).entry
    await asyncio.sleep(0.01)
    older = Snapshot(KEY, entry.as_of - 1, can_deposit=True, balances=())
    await replicas[2].tier.store_and_release(older)
    replicas[1].fleet.on_entry(older)
    await asyncio.sleep(0.01)
    assert [replica.memory.get(KEY) for replica in replicas] == [entry] * 3


async def test_after_a_loss_memory_is_trusted_again_when_redis_has_been_asked(
    replicas: list[Replica], upstream: Upstream, server: FakeServer
) -> None:
    entry = (await replicas[0].cache.read(KEY, directives())).entry
    await asyncio.sleep(0.01)
    await _lose_and_find(server)
    for replica in replicas:
        assert replica.bus.connected
        assert (replica.memory.get(KEY), replica.memory.peek(KEY)) == (None, entry)
        assert (await replica.cache.read(KEY, directives())).source is Source.REDIS
        assert replica.memory.get(KEY) == entry
    assert upstream.calls == 1


async def test_what_redis_has_no_news_of_is_trusted_again_though_it_was_not_what_was_asked_for(
    replicas: list[Replica], upstream: Upstream
) -> None:
    entry = (await replicas[0].cache.read(KEY, directives())).entry
    replicas[0].memory.distrust()
    upstream.error = Unreachable("x")
    with pytest.raises(Unreachable):
        await replicas[0].cache.read(KEY, directives(no_cache=True))
    assert replicas[0].memory.get(KEY) == entry


async def test_what_was_missed_is_found_after_joining_again(
    replicas: list[Replica], upstream: Upstream, server: FakeServer
) -> None:
    deaf = Replica(upstream, server, "deaf")
    async with supervised(redis_client=deaf.redis_client.probe_while_lost, budget=deaf.budget.dispatch):
        async with supervised(bus=deaf.bus.listen):
            await asyncio.sleep(0.01)
            first = (await deaf.cache.read(KEY, directives())).entry
        await asyncio.sleep(1)
        second = (await replicas[0].cache.read(KEY, directives(no_cache=True))).entry
        assert (await deaf.cache.read(KEY, directives())).entry == first
        async with supervised(bus=deaf.bus.listen):
            await asyncio.sleep(0.01)
            assert (await deaf.cache.read(KEY, directives())).entry == second
    assert upstream.calls == 2
    await deaf.redis_client.close()


async def test_what_memory_knows_is_put_back_into_a_redis_that_comes_back_empty(
    replicas: list[Replica], upstream: Upstream, server: FakeServer, raw: FakeAsyncRedis
) -> None:
    entry = (await replicas[0].cache.read(KEY, directives())).entry
    await raw.flushall()
    await _lose_and_find(server)
    assert await raw.exists(NAME) == 0
    assert (await replicas[0].cache.read(KEY, directives())).entry == entry
    assert await raw.exists(NAME, f"{NAME}:lease") == 1
    late = Replica(upstream, server, "late")
    async with late.running():
        assert (await late.cache.read(KEY, directives())).entry == entry
    assert upstream.calls == 1


async def test_what_is_too_old_is_not_put_back_but_fetched(
    replicas: list[Replica], upstream: Upstream, server: FakeServer, raw: FakeAsyncRedis
) -> None:
    await replicas[0].cache.read(KEY, directives())
    await raw.flushall()
    await _lose_and_find(server, seconds=40)
    await asyncio.sleep(3)
    served = await asyncio.gather(*(replica.cache.read(KEY, directives()) for replica in replicas))
    assert all(unix_ms() - one.entry.as_of < 1000 for one in served)
    assert upstream.calls == 2


@pytest.mark.parametrize(
    "error",
    [
        Unreachable("x"),
        UpstreamFaulty("x", code=9001),
        UpstreamBusy("x", retry_after_seconds=2.5),
        TokenRefused("x", code=7),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_failure_reaches_all_waiters_and_is_gone_for_the_next(
    replicas: list[Replica], upstream: Upstream, error: TallygateError
) -> None:
    upstream.error = error
    results = await asyncio.gather(
        *(replica.cache.read(KEY, directives()) for replica in replicas for _ in range(10)), return_exceptions=True
    )
    assert {type(one) for one in results} == {type(error)}
    failures = [(one.detail, one.code, one.retry_after_seconds) for one in results if isinstance(one, TallygateError)]
    assert set(failures) == {(error.detail, error.code, error.retry_after_seconds)}
    assert upstream.calls == 1
    assert monotonic() < 0.2
    upstream.error = None
    served = await asyncio.gather(*(replica.cache.read(KEY, directives()) for replica in replicas))
    assert len({one.entry for one in served}) == 1
    assert upstream.calls == 2


async def test_without_the_bus_waiters_poll_redis_until_it_is_there(upstream: Upstream, server: FakeServer) -> None:
    upstream.seconds = 0.5
    deaf = [Replica(upstream, server, f"deaf{number}") for number in range(3)]
    async with (
        supervised(budget=deaf[0].budget.dispatch),
        supervised(budget=deaf[1].budget.dispatch),
        supervised(budget=deaf[2].budget.dispatch),
    ):
        served = await asyncio.gather(*(replica.cache.read(KEY, directives()) for replica in deaf for _ in range(10)))
    assert monotonic() == pytest.approx(0.5, abs=0.06)
    assert len({one.entry for one in served}) == 1
    assert upstream.calls == 1


async def test_no_account_is_affected_by_another(replicas: list[Replica], upstream: Upstream) -> None:
    upstream.error = Unreachable("x")
    other = asyncio.create_task(replicas[0].cache.read(AccountId("2"), directives()))
    await asyncio.sleep(0.05)
    upstream.error = None
    await asyncio.gather(*(replica.cache.read(KEY, directives()) for replica in replicas))
    assert (await other).entry.account_id == AccountId("2")
