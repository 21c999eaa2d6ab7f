"""Each look counts: what is said of a history of five looks, to the millisecond."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fakeredis import FakeServer
from msgspec import UNSET

from app.api.views.history import ChangeView
from app.balances.amounts import Amount
from app.balances.snapshots import Absence, AccountId, Row, Snapshot
from app.cache.freshness import RequestDirectives
from app.errors import FeedEnded, InvalidRequest
from app.history.changes import RowChange
from app.history.feed import FeedPage, FeedReader
from app.history.past import Past, PastState, Window
from app.history.recording import HistoryOptions, Look, Recorder
from app.history.states import Looks
from app.redis.client import RedisFailure
from app.telemetry.metrics import Metrics
from tests.support.replica import KEY, Replica, Upstream, run_replicas
from tests.support.virtual_time import unix_ms

HISTORY = HistoryOptions(keep_ms=604_800_000, max_bytes=10**9)
OTHER = AccountId("7")
BEGAN = 1_000_000_100_000
LOOKS = (("1", 0), ("1", 700), ("1", 1_000), ("2", 1_100), ("2", 1_150))
"""What each look found, and when it arrived, in milliseconds since `BEGAN`. Each was asked for 40 ms before."""


async def look(replica: Replica, amount: str, arrival: int, key: AccountId = KEY, *, lasts_ms: int = 40) -> Snapshot:
    row = Row("USDT", "USDT", "USDT", Amount(amount), Amount(f"{amount}0"), Amount(f"{amount}00"))
    found = Snapshot(key, arrival, can_deposit=amount == "1", balances=(row,))
    await replica.tier.store_and_release(found, look=Look(arrival - lasts_ms))
    return found


@pytest.fixture
async def one(server: FakeServer) -> AsyncIterator[Replica]:
    async with run_replicas(Upstream(), server, 1, history=HISTORY) as (one,):
        await asyncio.sleep((BEGAN - unix_ms()) / 1000)
        for amount, after_ms in LOOKS:
            await look(one, amount, BEGAN + after_ms)
        yield one


def past_of(replica: Replica) -> Past:
    return Past(replica.shared, replica.feed)


async def test_looks_are_counted_and_their_longest_gap_is_that_of_one_state(one: Replica) -> None:
    past = past_of(one)
    first, second = await past.at(KEY, BEGAN), await past.at(KEY, BEGAN + 1_100)
    assert (first.looks, first.changed_by) == (Looks(BEGAN + 960, 3, 700), BEGAN + 1_100)
    assert (second.looks, second.changed_by) == (Looks(BEGAN + 1_110, 2, 50), None)
    assert second.state.before == first.looks


@pytest.mark.parametrize(
    ("after_ms", "sequence", "is_seen"),
    [
        *((0, 0, True), (960, 0, True), (961, 0, False), (1_099, 0, False)),
        *((1_100, 1, True), (1_110, 1, True), (1_111, 1, False)),
    ],
)
async def test_what_is_seen_ends_when_its_last_look_was_asked_for(
    one: Replica, after_ms: int, sequence: int, is_seen: bool
) -> None:
    found: PastState = await past_of(one).at(KEY, BEGAN + after_ms)
    assert (found.state.sequence, found.is_seen) == (sequence, is_seen)


async def test_a_look_of_the_same_arrival_counts_once_and_another_content_then_is_none(one: Replica) -> None:
    again = await look(one, "2", BEGAN + 1_150)
    await one.redis_client.client.delete(f"t:{{{KEY}}}")
    other = await look(one, "1", BEGAN + 1_150)
    found = await past_of(one).at(KEY, BEGAN + 1_150)
    assert (found.state.sequence, found.looks.looks) == (1, 2)
    assert not other.sequence, again


@pytest.mark.parametrize("lasts_ms", [40, 0])
async def test_a_single_look_has_seen_nothing(one: Replica, lasts_ms: int) -> None:
    arrival = BEGAN + 2_000
    await look(one, "3", arrival, lasts_ms=lasts_ms)
    found = await past_of(one).at(KEY, arrival)
    assert (found.looks, found.is_seen) == (Looks(arrival - lasts_ms, 1, 0), False)
    assert found.state.before == Looks(BEGAN + 1_110, 2, 50)


async def test_a_change_is_what_came_after_without_what_was_before(one: Replica) -> None:
    page = await past_of(one).changes(KEY, Window(), None, 10)
    first, second = page.changes
    assert (page.kept_from, first.before, first.after.sequence) == (BEGAN, None, 0)
    (row,) = second.rows()
    assert row.before is not None
    assert row.after is not None
    assert (row.before.total, row.after.total) == ("1", "2")
    assert row.differences() == ("1", "10", "100")
    assert second.can_deposit() == (True, False)
    assert [ChangeView.of(change).first for change in page.changes] == [True, UNSET]
    assert RowChange(None, row.after).differences() is RowChange(row.before, None).differences() is None


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_a_page_has_no_more_than_was_asked_for_and_says_since_when_all_is_kept(one: Replica, limit: int) -> None:
    for number in range(2, 5):
        await look(one, str(number), BEGAN + 1_000 * number)
    past, after, sizes = past_of(one), None, list[int]()
    while not sizes or after is not None:
        page = await past.changes(KEY, Window(), after, limit)
        after = page.next
        sizes.append(len(page.changes))
        assert page.kept_from == BEGAN
    assert sum(sizes) == 4
    assert max(sizes) == limit


async def test_times_select_with_the_first_moment_and_without_the_last(one: Replica) -> None:
    past, second = past_of(one), BEGAN + 1_100
    for window, found in (
        (Window(BEGAN, second), [0]),
        (Window(BEGAN, second + 1), [0, 1]),
        (Window(second, None), [1]),
        (Window(second + 1, None), []),
    ):
        assert [change.after.sequence for change in (await past.changes(KEY, window, None, 10)).changes] == found


async def test_a_cursor_is_of_one_account_and_one_epoch(one: Replica) -> None:
    past = past_of(one)
    cursor = (await past.changes(KEY, Window(), None, 1)).next
    assert cursor is not None
    for amount in "12":
        await look(one, amount, BEGAN + 2_000 + int(amount), OTHER)
    with pytest.raises(InvalidRequest):
        await past.changes(OTHER, Window(), cursor, 1)
    await one.tier.withdraw(KEY)
    for amount in "123":
        await look(one, amount, BEGAN + 3_000 + int(amount))
    with pytest.raises(FeedEnded):
        await past.changes(KEY, Window(), cursor, 1)


@pytest.mark.parametrize("step_ms", [-12, -900])
async def test_a_clock_that_steps_back_loses_no_look(server: FakeServer, step_ms: int) -> None:
    upstream = Upstream()
    upstream.seconds = 0.003
    async with run_replicas(upstream, server, 2, history=HISTORY) as (one, two):
        for number in range(12):
            if number == 6:
                one.ahead_ms = two.ahead_ms = step_ms
            asked = RequestDirectives(received_at=unix_ms() + one.ahead_ms, no_cache=True)
            await (one if number % 3 else two).cache.read(KEY, asked, "c")
        page = await past_of(one).changes(KEY, Window(), None, 100)
        numbers = [change.after.sequence for change in page.changes]
        assert numbers == list(range(12))


async def test_who_reads_the_past_waits_for_the_looks_that_are_on_their_way(one: Replica) -> None:
    looks = iter([("3", 2_000), ("4", 4_000)])

    async def recorded() -> None:
        if found := next(looks, None):
            await look(one, found[0], unix_ms() + found[1])

    feed = FeedReader(one.shared, recorded)
    page = await feed.read_after(None, 10)
    assert isinstance(page, FeedPage)
    assert [entry.sequence for entry in page.entries] == [0, 1, 2]
    found = await Past(one.shared, feed).at(KEY, unix_ms() + 4_000)
    assert found.state.sequence == 3


async def test_a_look_on_its_way_is_waited_for_until_it_is_recorded_or_could_not_be(one: Replica) -> None:
    recorder = Recorder(one.shared, HISTORY, Metrics())
    await recorder.recorded()
    recording: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    following = asyncio.create_task(recorder.follow(Absence(KEY, unix_ms()), recording))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(recorder.recorded())
    await asyncio.sleep(1)
    assert not waiting.done()
    recording.set_result(RedisFailure.UNAVAILABLE)
    await waiting
    await following
    await recorder.recorded()
