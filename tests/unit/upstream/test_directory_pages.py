"""A directory is read until a page brings nothing new, whatever its pager does."""

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from app.errors import MalformedAnswer
from app.resilience.circuit_breaker import CircuitBreaker
from app.resilience.retry_budget import RetryBudget
from app.secret import Secret
from app.upstream.calls import CallExecutor
from app.upstream.client import UpstreamClient
from app.upstream.directory import PAGE_SIZE
from app.upstream.envelope import UpstreamResponse
from app.upstream.token_source import Token, TokenSource
from tests.support.virtual_time import monotonic, virtual_runtime

Pager = Callable[[int, int], tuple[Sequence[int | str], int]]
"""From the number of a call and of a page: the merchants of the answer, and the total that it says there are."""


class _Directory:
    """Answers pages as its pager has it, and counts them."""

    def __init__(self, pager: Pager) -> None:
        self.calls = 0
        self._pager = pager

    async def get(self, path: str, params: Mapping[str, str]) -> UpstreamResponse:
        self.calls += 1
        merchants, total = self._pager(self.calls, int(params["currentPage"]))
        data = {"total": total, "data": [{"merchantId": merchant} for merchant in merchants]}
        return UpstreamResponse(200, {}, json.dumps({"code": 200, "data": data}).encode())


@asynccontextmanager
async def _turn(_: float) -> AsyncIterator[None]:
    yield


async def _quiet(_: float) -> None:
    return


def _client(directory: _Directory) -> UpstreamClient:
    calls = CallExecutor(
        tokens=TokenSource(Token(Secret("t")), monotonic=monotonic),
        breaker=CircuitBreaker(virtual_runtime(), threshold=5, first_pause_seconds=0.5, longest_pause_seconds=15),
        retries=RetryBudget(lambda: 1.0),
        quiet=_quiet,
        timeout_seconds=5,
        runtime=virtual_runtime(),
    )
    return UpstreamClient(directory, calls, virtual_runtime())


def _page(number: int, count: int) -> range:
    return range(1 + (number - 1) * PAGE_SIZE, 1 + min(number * PAGE_SIZE, count))


@pytest.mark.parametrize("count", [0, 1, PAGE_SIZE, PAGE_SIZE + 1, 3 * PAGE_SIZE])
async def test_all_pages_are_read_and_none_more(count: int) -> None:
    directory = _Directory(lambda _, page: (_page(page, count), count))
    found = await _client(directory).fetch_directory(_turn)
    assert [merchant.id for merchant in found.merchants] == list(range(1, count + 1))
    assert directory.calls == 1 + count // PAGE_SIZE


@pytest.mark.parametrize(
    "pager",
    {
        "a_page_that_repeats": lambda _, page: (_page(1, 2500), 2500),
        "a_last_page_that_repeats_and_a_total_that_is_one_too_high": lambda _, page: (_page(min(page, 3), 2500), 2501),
        "a_total_that_grows": lambda call, page: (_page(min(page, 2), 2000), 2000 + call),
        "empty_pages": lambda _, page: (range(0), 5),
        "pages_of_one_that_repeat": lambda _, page: (range(1, 2), 10**9),
    }.values(),
)
async def test_a_pager_without_end_is_left_when_a_page_brings_nothing_new(pager: Pager) -> None:
    directory = _Directory(pager)
    with pytest.raises(MalformedAnswer, match="fewer"):
        await _client(directory).fetch_directory(_turn)
    assert directory.calls <= 3 * 4


async def test_a_pager_that_always_has_something_new_is_left_at_a_bound() -> None:
    directory = _Directory(lambda _, page: (range(page, page + 1), 10**9))
    with capture_logs() as logs, pytest.raises(MalformedAnswer, match="does not end within 200 pages"):
        await _client(directory).fetch_directory(_turn)
    assert directory.calls == 200
    assert [(line["event"], line["about"], line["error"]) for line in logs] == [
        ("upstream.failed", "directory", "MalformedAnswer")
    ]
    assert "200 pages" in logs[0]["detail"]


@pytest.mark.parametrize("total", [0, 1, PAGE_SIZE, 2 * PAGE_SIZE + 499])
@pytest.mark.parametrize("page_size", [PAGE_SIZE, 400])
async def test_a_total_that_is_too_low_hides_no_merchant_and_is_logged(total: int, page_size: int) -> None:
    directory = _Directory(lambda _, page: (range(1 + (page - 1) * page_size, 1 + min(page * page_size, 2500)), total))
    with capture_logs() as logs:
        found = await _client(directory).fetch_directory(_turn)
    assert len(found.merchants) == 2500
    assert [(line["event"], line["listed"], line["total"]) for line in logs] == [("directory.total_wrong", 2500, total)]


@pytest.mark.parametrize(
    ("pages", "repeated"),
    [((range(1, 601), [*range(600, 700), 600]), [600, 600]), (([1, 2, 2, *range(3, 600)],), [2])],
    ids=["across_pages", "within_one_page"],
)
async def test_a_merchant_that_is_listed_twice_for_another_is_named_in_the_log(
    pages: Sequence[Sequence[int]], repeated: list[int]
) -> None:
    total = sum(map(len, pages))
    directory = _Directory(lambda _, page: (pages[page - 1] if page <= len(pages) else range(0), total))
    with capture_logs() as logs, pytest.raises(MalformedAnswer, match="fewer"):
        await _client(directory).fetch_directory(_turn)
    said = [line for line in logs if line["event"] == "directory.total_wrong"]
    assert said
    assert [(line["listed"], line["total"], line["repeated"]) for line in said] == [
        (total - len(repeated), total, repeated)
    ] * len(said)


async def test_the_page_and_the_place_of_what_cannot_be_read_are_logged_and_no_value_of_it() -> None:
    directory = _Directory(lambda _, page: (_page(page, PAGE_SIZE) if page == 1 else ["Harbour Trading"], 2000))
    with capture_logs() as logs, pytest.raises(MalformedAnswer):
        await _client(directory).fetch_directory(_turn)
    detail = logs[-1]["detail"]
    assert "Page 2 " in detail
    assert "$.data[0].merchantId" in detail
    assert "Harbour" not in detail
