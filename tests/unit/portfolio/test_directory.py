import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from fakeredis import FakeServer
from msgspec.structs import replace
from structlog.testing import capture_logs

from app.balances.merchants import Directory, Merchant
from app.balances.snapshots import AccountId
from app.errors import MalformedAnswer, TallygateError, Unreachable
from app.fleet.shared_value import SharedValue
from app.portfolio.directory import MerchantDirectory
from app.resilience.supervision import supervised
from app.upstream.directory import read_page
from tests.support.replica import make_shared
from tests.support.virtual_redis import virtual_redis_time
from tests.support.virtual_time import unix_ms, virtual_runtime


class Source:
    """A directory that grows by a merchant with each look, counted."""

    def __init__(self) -> None:
        self.looks = 0
        self.error: TallygateError | None = None
        self.seconds = 0.1

    async def fetch(self) -> Directory:
        self.looks += 1
        await asyncio.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        return Directory(unix_ms(), tuple(Merchant(number, f"m{number}") for number in range(1, self.looks + 1)))


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture(autouse=True)
async def _virtual() -> Iterator[None]:  # type: ignore[misc]
    with virtual_redis_time():
        yield


@asynccontextmanager
async def run_directory(
    source: Source,
    server: FakeServer,
    replica_id: str = "one",
    merchants: list[AccountId] | None = None,
    now_ms: Callable[[], int] = unix_ms,
) -> AsyncIterator[MerchantDirectory]:
    async def fetch() -> Directory:
        return replace(await source.fetch(), as_of=now_ms())

    directory = MerchantDirectory(
        merchants=merchants,
        fetch=fetch,
        share=SharedValue(make_shared(server, replica_id), "{directory}", rests=9).get_or_create,
        refresh_seconds=300,
        runtime=virtual_runtime(lambda: 0.5, unix_ms=now_ms),
    )
    async with supervised(directory=directory.keep_fresh):
        yield directory


async def ids(directory: MerchantDirectory) -> list[str]:
    return list((await directory.list()).names)


async def test_many_replicas_fetch_once(source: Source, server: FakeServer) -> None:
    async with run_directory(source, server, "a") as one, run_directory(source, server, "b") as other:
        lists = await asyncio.gather(ids(one), ids(one), ids(other), ids(other))
    assert all(found == ["1"] for found in lists)
    assert source.looks == 1


async def test_a_list_is_refreshed_behind_from_the_first_question_on(source: Source, server: FakeServer) -> None:
    async with run_directory(source, server) as directory:
        await asyncio.sleep(3000)
        assert source.looks == 0
        await directory.list()
        await asyncio.sleep(290)
        assert await ids(directory) == ["1", "2"]
        await asyncio.sleep(2850)
        assert source.looks == 12
        assert not directory.is_stale


async def test_a_newcomer_takes_what_the_fleet_keeps(source: Source, server: FakeServer) -> None:
    async with run_directory(source, server, "a") as directory:
        await directory.list()
    async with run_directory(source, server, "b") as late:
        assert await ids(late) == ["1"]
    assert source.looks == 1


async def test_a_list_that_a_clock_ahead_of_ours_wrote_is_fetched_again_and_kept_fresh(
    source: Source, server: FakeServer
) -> None:
    def ahead() -> int:
        return unix_ms() + 3_600_000

    async with (
        run_directory(source, server, "ahead", now_ms=ahead) as wrong,
        run_directory(source, server, "right") as right,
    ):
        assert await ids(wrong) == ["1"]
        assert await ids(right) == ["1", "2"]
        for _ in range(20):
            await asyncio.sleep(300)
            assert not right.is_stale
            assert len(await ids(right)) > source.looks - 4
    assert 40 <= source.looks <= 50


async def test_a_list_that_a_clock_ahead_of_ours_wrote_hides_no_outage(source: Source, server: FakeServer) -> None:
    async with run_directory(source, server, "right") as right:
        await right.list()
        async with run_directory(source, server, "ahead", now_ms=lambda: unix_ms() + 3_600_000) as wrong:
            await wrong.list_now()
        source.error = Unreachable("x")
        await asyncio.sleep(1000)
        assert await ids(right) == ["1"]
        assert right.is_stale


async def test_a_newcomer_takes_no_list_that_a_clock_ahead_of_ours_wrote(source: Source, server: FakeServer) -> None:
    async with run_directory(source, server, "ahead", now_ms=lambda: unix_ms() + 3_600_000) as wrong:
        await wrong.list()
    source.error = Unreachable("x")
    async with run_directory(source, server, "right") as right:
        with pytest.raises(Unreachable):
            await right.list()
        assert right.age_seconds is None


async def test_a_list_from_before_a_clock_went_back_is_stale_until_a_new_one_can_be_had(
    source: Source, server: FakeServer
) -> None:
    ahead_ms = 3_600_000
    async with run_directory(source, server, now_ms=lambda: unix_ms() + ahead_ms) as directory:
        await directory.list()
        await asyncio.sleep(1)
        ahead_ms = 0
        source.error = Unreachable("x")
        assert (await directory.list()).is_stale
        await asyncio.sleep(300)
        source.error = None
        await asyncio.sleep(15)
        assert not (await directory.list()).is_stale


async def test_a_list_from_before_a_clock_went_back_an_hour_is_made_once_more(
    source: Source, server: FakeServer
) -> None:
    ahead_ms = 3_600_000
    async with run_directory(source, server, now_ms=lambda: unix_ms() + ahead_ms) as directory:
        await directory.list()
        await asyncio.sleep(1)
        ahead_ms = 0
        await asyncio.sleep(4000)
        assert len(await ids(directory)) == source.looks == 15
        assert not directory.is_stale


async def test_a_clock_that_goes_back_while_a_list_is_wanted_makes_no_storm(source: Source, server: FakeServer) -> None:
    ahead_ms = 3_600_000
    async with run_directory(source, server, now_ms=lambda: unix_ms() + ahead_ms) as directory:
        await directory.list()
        await asyncio.sleep(1)
        wanted = asyncio.create_task(directory.list_now())
        await asyncio.sleep(0.05)
        ahead_ms = 0
        assert len(await wanted) == source.looks <= 4


async def test_an_outage_leaves_the_last_list_in_place(source: Source, server: FakeServer) -> None:
    async with run_directory(source, server) as directory:
        await directory.list()
        source.error = Unreachable("x")
        with capture_logs() as logs:
            await directory.list()
            await asyncio.sleep(3000)
            assert await ids(directory) == ["1"]
        assert {line["event"] for line in logs} == {"directory.stale"}


async def test_one_that_was_never_had_is_the_error_that_says_why(source: Source, server: FakeServer) -> None:
    source.error = Unreachable("x")
    async with run_directory(source, server) as directory:
        with pytest.raises(Unreachable):
            await directory.list()


async def test_a_list_that_was_wanted_afresh_is_one_of_now(source: Source, server: FakeServer) -> None:
    async with run_directory(source, server) as directory:
        await directory.list()
        await asyncio.sleep(1)
        assert list(await directory.list_now()) == ["1", "2"]


async def test_without_redis_each_fetches_for_itself(source: Source, server: FakeServer) -> None:
    server.connected = False
    async with run_directory(source, server, "a") as one, run_directory(source, server, "b") as other:
        await one.list()
        await other.list()
    assert source.looks >= 2


async def test_merchants_that_are_set_need_no_directory(source: Source, server: FakeServer) -> None:
    async with run_directory(source, server, merchants=[AccountId("7"), AccountId("5")]) as directory:
        assert await ids(directory) == list(await directory.list_now()) == ["5", "7"]
        assert (await directory.list()).as_of is None
        assert directory.names().keys() == set()
        await asyncio.sleep(1000)
        assert (directory.age_seconds, directory.is_stale) == (None, False)
    assert source.looks == 0


async def test_a_list_has_an_age_and_is_stale_after_two_of_its_lives(source: Source, server: FakeServer) -> None:
    async with run_directory(source, server) as directory:
        assert (directory.age_seconds, directory.is_stale) == (None, False)
        first = await directory.list()
        source.error = Unreachable("x")
        await asyncio.sleep(600)
        assert (await directory.list(), directory.age_seconds) == (first, 600)
        await asyncio.sleep(0.1)
        assert await directory.list() == replace(first, is_stale=True)
        source.error = None
        await asyncio.sleep(11)
        renewed = await directory.list()
        assert (list(renewed.names)[-1], renewed.is_stale) == (str(source.looks), False)


async def test_a_newcomer_takes_a_stale_list_of_the_fleets_only_if_there_is_no_newer_one(
    source: Source, server: FakeServer
) -> None:
    async with run_directory(source, server, "a") as directory:
        await directory.list()
    await asyncio.sleep(3600)
    async with run_directory(source, server, "b") as late:
        listings = await asyncio.gather(*(late.list() for _ in range(2)))
    assert [(list(listing.names), listing.is_stale) for listing in listings] == [(["1", "2"], False)] * 2
    await asyncio.sleep(3600)
    source.error = Unreachable("x")
    async with run_directory(source, server, "c") as last:
        listings = await asyncio.gather(*(last.list() for _ in range(100)))
        assert {(*listing.names, listing.is_stale) for listing in listings} == {("1", "2", True)}
    assert source.looks <= 4


@pytest.mark.parametrize("is_redis_there", [True, False])
async def test_a_directory_that_cannot_be_read_takes_a_tenth_of_the_time(
    source: Source, server: FakeServer, is_redis_there: bool
) -> None:
    source.error, source.seconds = MalformedAnswer("endless"), 5
    server.connected = is_redis_there
    names = ["a", "b", "c"] if is_redis_there else ["a"]
    async with AsyncExitStack() as stack:
        replicas = [await stack.enter_async_context(run_directory(source, server, name)) for name in names]
        for _ in range(500):
            for replica in replicas:
                with pytest.raises(MalformedAnswer, match="endless"):
                    await replica.list()
            await asyncio.sleep(1)
        assert 8 <= source.looks <= 13
        source.error = None
        await asyncio.sleep(60)
        assert await ids(replicas[0])


async def test_a_failure_that_read_nothing_is_repeated_soon(source: Source, server: FakeServer) -> None:
    source.error, source.seconds = Unreachable("x"), 5
    async with run_directory(source, server) as directory:
        with pytest.raises(Unreachable):
            await directory.list()
        source.error = None
        await asyncio.sleep(16)
        assert source.looks == 2


async def test_names_are_those_that_are_known_and_are_asked_for_without_waiting(
    source: Source, server: FakeServer
) -> None:
    async with run_directory(source, server) as directory:
        assert directory.names() == {}
        await asyncio.sleep(1)
        assert directory.names() == {AccountId("1"): "m1"}
        assert source.looks == 1
        await asyncio.sleep(300)
        assert directory.names() == {AccountId("1"): "m1", AccountId("2"): "m2"}


async def test_of_a_page_id_name_and_status_are_taken_and_nothing_else() -> None:
    page = {
        "currentPage": 1,
        "size": 1000,
        "total": 9,
        "data": [{"merchantId": 5, "merchantName": "A", "status": 2, "email": "somebody@example.com"}],
    }
    assert read_page(page) == ([Merchant(5, "A", 2)], 9, False)


@pytest.mark.parametrize("page", [None, [], {"total": 1}, {"total": 1, "data": [{"merchantId": "5"}]}])
async def test_a_page_that_is_not_as_documented_is_refused(page: object) -> None:
    with pytest.raises(ValueError, match=r"Expected|missing"):
        read_page(page)
