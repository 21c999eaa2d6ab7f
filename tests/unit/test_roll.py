import asyncio
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from app.balances.snapshots import Key
from app.errors import Unreachable
from app.portfolio.roll import Roll
from app.upstream.directory import read_page
from tests.support.virtual_time import monotonic


class Directory:
    """A directory of two merchants that counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.error: Exception | None = None

    async def fetch(self) -> Sequence[Key]:
        self.asked += 1
        await asyncio.sleep(0.1)
        if self.error is not None:
            raise self.error
        return [Key("1"), Key("2")]


@pytest.fixture
def directory() -> Directory:
    return Directory()


@pytest.fixture
def roll(directory: Directory) -> Roll:
    return Roll(merchants=None, fetch=directory.fetch, monotonic=monotonic)


async def test_the_directory_is_asked_once_in_five_minutes_however_many_ask(roll: Roll, directory: Directory) -> None:
    assert {tuple(found) for found in await asyncio.gather(*(roll.list() for _ in range(10)))} == {("1", "2")}
    await asyncio.sleep(299)
    await roll.list()
    assert directory.asked == 1
    await asyncio.sleep(2)
    await roll.list()
    assert directory.asked == 2


async def test_an_outage_leaves_the_last_one_in_place_and_is_not_asked_each_time(
    roll: Roll, directory: Directory
) -> None:
    await roll.list()
    directory.error = Unreachable("x")
    await asyncio.sleep(301)
    with capture_logs() as logs:
        for _ in range(5):
            assert await roll.list() == ["1", "2"]
    assert (directory.asked, [line["event"] for line in logs]) == (2, ["directory.stale"])


async def test_one_that_was_never_had_says_why(roll: Roll, directory: Directory) -> None:
    directory.error = Unreachable("x")
    with pytest.raises(Unreachable):
        await roll.list()
    directory.error = None
    assert await roll.list() == ["1", "2"]


async def test_afresh_is_a_call_that_no_older_answer_covers(roll: Roll, directory: Directory) -> None:
    await roll.list()
    await roll.list_afresh()
    assert directory.asked == 2
    directory.error = Unreachable("x")
    with pytest.raises(Unreachable):
        await roll.list_afresh()


async def test_merchants_that_are_set_need_no_directory(directory: Directory) -> None:
    roll = Roll(merchants=[Key("7")], fetch=directory.fetch, monotonic=monotonic)
    assert (await roll.list(), await roll.list_afresh(), directory.asked) == ([Key("7")], [Key("7")], 0)


def test_of_a_page_the_ids_are_taken_and_nothing_else() -> None:
    page = {"currentPage": 1, "size": 1000, "total": 9, "data": [{"merchantId": 5, "email": "somebody@example.com"}]}
    assert read_page(page) == ([Key("5")], 9)


@pytest.mark.parametrize("page", [None, [], {"total": 1}, {"total": 1, "data": [{"merchantId": "5"}]}])
def test_a_page_that_is_not_as_documented_is_refused(page: object) -> None:
    with pytest.raises(ValueError, match=r"Expected|missing"):
        read_page(page)
