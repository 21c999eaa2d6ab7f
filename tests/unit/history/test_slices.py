"""What changed of named accounts since a position: changes of others decide nothing, however many, dropped or not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fakeredis import FakeServer

from app.balances.snapshots import AccountId
from app.history.cursors import FeedPosition
from app.history.feed import FeedGone, FeedPage, FeedReader
from app.history.past import Past
from app.history.recording import history_name
from app.history.slices import FeedSlices
from app.redis.client import RedisFailure
from app.redis.shared import Shared
from app.runtime import Runtime
from tests.support.replica import Replica, Upstream, run_replicas
from tests.support.virtual_time import unix_ms
from tests.unit.history.test_following import MINE, OPTIONS, OTHERS, look

MORE_THAN_20_000 = 41
IDLE = AccountId("7")


class LongFeed(FeedReader):
    """A feed in which so many slices have nothing but changes that nobody asks for."""

    def __init__(self, shared: Shared, slices: int) -> None:
        super().__init__(shared)
        self._left = slices

    async def read_after(self, position: FeedPosition | None, limit: int) -> FeedPage | FeedGone | RedisFailure:
        if self._left and position is not None:
            self._left -= 1
            found = await super().read_after(position, 0)
            assert isinstance(found, FeedPage)
            return FeedPage(found.meta, (), position, is_last=False)
        return await super().read_after(position, limit)


def slices_of(replica: Replica, feed: FeedReader | None = None) -> FeedSlices:
    past = Past(replica.shared, replica.feed)
    return FeedSlices(feed or replica.feed, past, OPTIONS, Runtime(unix_ms=unix_ms))


async def position_of(replica: Replica) -> FeedPosition:
    position = await replica.feed.latest_position()
    assert isinstance(position, FeedPosition)
    return position


@asynccontextmanager
async def looked_at(server: FakeServer) -> AsyncIterator[tuple[Replica, FeedPosition, FeedSlices]]:
    """Run a replica that has looked at two accounts, with the position after that."""
    async with run_replicas(Upstream(), server, 1, history=OPTIONS) as (one,):
        for account_id in (MINE, IDLE):
            await look(one, account_id, 1)
        yield one, await position_of(one), slices_of(one)


async def test_named_accounts_are_found_after_any_number_of_changes_and_all_after_some(server: FakeServer) -> None:
    async with run_replicas(Upstream(), server, 1, history=OPTIONS) as (one,):
        await look(one, OTHERS, 1)
        position = await position_of(one)
        await look(one, MINE, 1)
        for accounts, slices, found in (
            ([MINE], MORE_THAN_20_000, {MINE}),
            (None, MORE_THAN_20_000, None),
            (None, MORE_THAN_20_000 - 2, {MINE}),
        ):
            feed = LongFeed(one.shared, slices)
            assert await slices_of(one, feed).changed_since(position, accounts) == found


async def test_what_was_dropped_of_others_hides_nothing_and_what_was_of_its_own_is_not_known(
    server: FakeServer,
) -> None:
    async with looked_at(server) as (one, position, slices):
        await one.feed.latest_position()
        for amount in range(40):
            await look(one, OTHERS, amount)
        assert await slices.changed_since(position, [MINE, IDLE]) == set()
        assert await slices.changed_since(position, [OTHERS]) is None
        assert await slices.changed_since(position, None) is None
        await look(one, MINE, 2)
        assert await slices.changed_since(position, [MINE, IDLE]) == {MINE}


async def test_an_account_that_lost_its_history_counts_as_changed_where_something_was_dropped(
    server: FakeServer,
) -> None:
    async with looked_at(server) as (one, position, slices):
        await one.redis_client.client.delete(history_name(one.shared, MINE))
        assert await slices.changed_since(position, [MINE, IDLE]) == set()
        for amount in range(40):
            await look(one, OTHERS, amount)
        assert await slices.changed_since(position, [MINE, IDLE]) == {MINE}
