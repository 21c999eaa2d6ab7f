"""Looks at a random walk whose truth is known: what is said of the past is never what was not so."""

import asyncio
from bisect import bisect_right
from random import Random

import pytest
from fakeredis import FakeServer

from app.balances.amounts import Amount
from app.balances.snapshots import Row, Snapshot
from app.errors import HistoryGone
from app.history.past import Past, Window
from app.history.recording import HistoryOptions, Look
from tests.support.replica import KEY, Replica, Upstream, run_replicas
from tests.support.virtual_time import unix_ms

HISTORY = HistoryOptions(keep_ms=604_800_000, max_bytes=10**9)
LOOKS = 250


class Truth:
    """What an account had when, as its upstream knows it."""

    def __init__(self) -> None:
        self.moments = [0]
        self.amounts = [0]

    def move(self, amount: int) -> None:
        self.moments.append(unix_ms())
        self.amounts.append(amount)

    def at(self, moment: int) -> int:
        return self.amounts[bisect_right(self.moments, moment) - 1]

    def during(self, since: int, until: int) -> set[int]:
        first, last = bisect_right(self.moments, since) - 1, bisect_right(self.moments, until)
        return set(self.amounts[first:last])


def amount_of(rows: tuple[Row, ...]) -> int:
    return int(rows[0].total)


async def look(replica: Replica, truth: Truth, random: Random) -> None:
    """Look as a load does: the answer is true at some moment between the call and its arrival."""
    asked_at, known = unix_ms(), (await replica.tier.get_many([KEY])).get(KEY)  # type: ignore[union-attr]
    await asyncio.sleep(random.random() / 10)
    amount = Amount(str(truth.at(unix_ms())))
    await asyncio.sleep(random.random() / 10)
    row = Row("USDT", "USDT", "USDT", amount, amount, Amount("0"))
    found = Snapshot(KEY, unix_ms(), can_deposit=True, balances=(row,))
    await replica.tier.store_and_release(found, look=Look(asked_at, known))


async def walk(replicas: list[Replica], truth: Truth, random: Random, looks: int) -> None:
    """Move now and then, to a few amounts that return, while random replicas look in random intervals."""

    async def move() -> None:
        while True:
            await asyncio.sleep(random.expovariate(0.5))
            truth.move(random.randrange(4))

    mover = asyncio.create_task(move())
    for _ in range(looks):
        await look(random.choice(replicas), truth, random)
        await asyncio.sleep(random.choice((0.01, 0.5, 2)))
    mover.cancel()


@pytest.mark.parametrize("seed", range(2))
async def test_what_is_said_of_the_past_was_so(server: FakeServer, seed: int) -> None:
    random, truth = Random(seed), Truth()
    async with run_replicas(Upstream(), server, 3, history=HISTORY) as replicas:
        await asyncio.sleep(1)
        began = unix_ms()
        await walk(replicas, truth, random, LOOKS)
        past = Past(replicas[0].shared, replicas[0].feed)
        seen = 0
        for _ in range(2 * LOOKS):
            moment = random.randrange(began, unix_ms())
            try:
                found = await past.at(KEY, moment)
            except HistoryGone:
                continue
            assert found.state.content is not None
            said, looks = amount_of(found.state.content.balances), found.looks
            assert found.state.since <= moment
            # a look that found it arrived at `since`, and another one was asked for at `until`
            assert said in truth.during(began, found.state.since)
            if found.is_seen:
                seen += 1
                assert looks.looks > 1
                assert found.state.since <= moment <= looks.until
                longest = looks.gap_ms + 200
                assert said in truth.during(moment - longest, moment)
                assert said in truth.during(moment, moment + longest)
            elif found.changed_by is not None:
                assert looks.until < moment < found.changed_by
                assert len(truth.during(looks.until, found.changed_by)) > 1
        assert seen > LOOKS / 10


async def test_changes_are_numbered_without_gaps_and_add_up(server: FakeServer) -> None:
    random, truth = Random(5), Truth()
    async with run_replicas(Upstream(), server, 2, history=HISTORY) as replicas:
        await walk(replicas, truth, random, 250)
        past = Past(replicas[0].shared, replicas[0].feed)
        changes, after = [], None
        while True:
            page = await past.changes(KEY, Window(), after, 7)
            changes += page.changes
            after = page.next
            if after is None:
                break
        assert [change.after.sequence for change in changes] == list(range(len(changes)))
        assert len(changes) > 20
        total = amount_of(changes[0].after.content.balances)  # type: ignore[union-attr]
        for change in changes[1:]:
            (row,) = change.rows()
            total += int((row.differences() or ("0",))[0])
            assert total == amount_of(change.after.content.balances)  # type: ignore[union-attr]
            assert change.after.before is not None
            assert len(truth.during(change.after.before.until, change.after.since)) > 1
        middle = changes[10].after.since
        part = await past.changes(KEY, Window(middle, changes[20].after.since), None, 100)
        assert [change.after.sequence for change in part.changes] == list(range(10, 20))


async def test_replicas_that_die_leave_neither_a_number_twice_nor_a_hole(server: FakeServer) -> None:
    """A replica dies between any two of its commands: each of its looks is there whole, or not at all."""
    random, truth = Random(7), Truth()
    async with run_replicas(Upstream(), server, 3, history=HISTORY) as replicas:
        for number in range(200):
            truth.move(number)
            task = asyncio.create_task(look(random.choice(replicas), truth, random))
            await asyncio.sleep(random.random() / 4)
            if random.random() < 0.5:
                task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        page = await replicas[0].feed.read_after(None, 1000)
        numbers = [entry.sequence for entry in page.entries]  # type: ignore[union-attr]
        assert numbers == list(range(len(numbers)))
        assert len({entry.epoch for entry in page.entries}) == 1  # type: ignore[union-attr]


async def test_what_does_not_change_takes_no_more_memory(server: FakeServer) -> None:
    truth = Truth()
    async with run_replicas(Upstream(), server, 1, history=HISTORY) as (one,):
        sizes = set()
        for _ in range(50):
            await look(one, truth, Random(1))
            fields = await one.redis_client.client.hgetall(f"t:{{{KEY}}}:history")
            sizes.add((len(fields), len(fields[b"r0"]), await one.redis_client.client.xlen("t:{feed}")))
        assert len(sizes) == 1
