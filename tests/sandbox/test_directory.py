"""The merchant directory, over the wire."""

import itertools
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sandbox import Sandbox

Ask = Callable[..., Awaitable[tuple[int, dict[str, str], bytes]]]


async def listed(ask: Ask, sandbox: Sandbox, query: str = "") -> dict[str, Any]:
    _, _, body = await ask(sandbox.url, f"/v2/merchants{query}")
    answer: dict[str, Any] = json.loads(body)["data"]
    return answer


async def test_pages_follow_each_other_without_gap_or_repetition_and_end_empty(ask: Ask) -> None:
    async with Sandbox(merchants=23) as sandbox:
        pages = [await listed(ask, sandbox, f"?pageSize=10&currentPage={number}") for number in (1, 2, 3, 4)]
    ids = [[entry["merchantId"] for entry in page["data"]] for page in pages]
    assert [len(page) for page in ids] == [10, 10, 3, 0]
    assert list(itertools.chain(*ids)) == list(range(10001, 10024))
    assert {(page["total"], page["size"]) for page in pages} == {(23, 10)}
    assert [page["currentPage"] for page in pages] == [1, 2, 3, 4]


async def test_without_parameters_the_first_ten_normal_merchants_come(ask: Ask) -> None:
    async with Sandbox(merchants=12) as sandbox:
        page = await listed(ask, sandbox)
    assert (len(page["data"]), page["total"], page["currentPage"]) == (10, 12, 1)
    assert {entry["status"] for entry in page["data"]} == {2}


async def test_a_thousand_merchants_fit_one_page(ask: Ask) -> None:
    async with Sandbox(merchants=1001) as sandbox:
        page = await listed(ask, sandbox, "?pageSize=1000")
    assert (len(page["data"]), page["total"]) == (1000, 1001)


@pytest.mark.parametrize(("status", "total"), [(-1, 5), (2, 5), (1, 0), (3, 0), (4, 0)])
async def test_merchants_are_filtered_by_status(sandbox: Sandbox, ask: Ask, status: int, total: int) -> None:
    assert (await listed(ask, sandbox, f"?status={status}"))["total"] == total


async def test_names_match_in_part_and_addresses_whole(sandbox: Sandbox, ask: Ask) -> None:
    email = (await listed(ask, sandbox, "?merchantName=12345"))["data"][0]["email"]
    for query, ids in {
        "?merchantName=12345": [12345],
        "?merchantName=1234": [12345, 12346],
        "?merchantName=nobody": [],
        f"?email={email.upper()}": [12345],
        f"?email={email[1:]}": [],
    }.items():
        assert [entry["merchantId"] for entry in (await listed(ask, sandbox, query))["data"]] == ids


async def test_every_entry_is_made_up_of_searchable_personal_data(sandbox: Sandbox, ask: Ask) -> None:
    entries = (await listed(ask, sandbox))["data"]
    assert len({entry["email"] for entry in entries}) == len(entries)
    for entry in entries:
        assert entry["email"].endswith("@people.example")
        assert entry["merchantType"] in (1, 2)
        assert entry["createTime"].isdigit()
        assert entry["updateTime"].isdigit()
        assert all(entry[field] for field in ("merchantName", "country", "firstName", "lastName", "phone"))


async def test_the_same_seed_makes_up_the_same_people(ask: Ask) -> None:
    pages = []
    for seed in (1, 1, 2):
        async with Sandbox(seed=seed, merchants=5) as sandbox:
            pages.append(await listed(ask, sandbox))
    assert pages[0] == pages[1] != pages[2]


async def test_the_directory_knows_merchants_that_come_and_go(sandbox: Sandbox, ask: Ask) -> None:
    sandbox.world.set(777, [])
    sandbox.world.delete(10001)
    ids = [entry["merchantId"] for entry in (await listed(ask, sandbox))["data"]]
    assert ids == [777, 10002, 10003, 12345, 12346]


@pytest.mark.parametrize(
    "query",
    [
        "pageSize=0",
        "pageSize=1001",
        "pageSize=x",
        "currentPage=0",
        "currentPage=-1",
        "status=5",
        "status=",
        "status=%31%20",
        "pageSize=1&pageSize=2",
    ],
)
async def test_a_parameter_out_of_range_is_a_parameter_error(sandbox: Sandbox, ask: Ask, query: str) -> None:
    _, _, body = await ask(sandbox.url, f"/v2/merchants?{query}")
    assert json.loads(body)["code"] == -4010
