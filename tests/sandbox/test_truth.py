"""The sandbox's own past, and the ways in which its worlds move."""

import itertools
import json
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest

from sandbox import Account, Sandbox, World
from sandbox.motion import MOTIONS
from sandbox.scenarios import FIRST_MERCHANT, Moving, build

Ask = Callable[..., Awaitable[tuple[int, dict[str, str], bytes]]]


class Clock:
    """A clock in seconds that only a test moves on."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def rows(account: Account | None) -> dict[str, Any]:
    assert account is not None
    return {str(row["assetId"]): dict(row) for row in account.balances}


def walk(scenario: Moving, moves: int = 200) -> list[Account]:
    """Let the only merchant of a world move, and give all that it held."""
    world = build(scenario, 1, Random(3))
    for _ in range(moves):
        world.move(FIRST_MERCHANT)
    return [held.account for held in world.truth.states(FIRST_MERCHANT) if held.account is not None]


def test_what_an_account_held_when_is_known() -> None:
    clock = Clock()
    world = build("random", 2, Random(1), clock)
    first = world.account(FIRST_MERCHANT)
    clock.now = 101
    world.move(FIRST_MERCHANT)
    second = world.account(FIRST_MERCHANT)
    clock.now = 102
    world.delete(FIRST_MERCHANT)
    truth = world.truth
    assert [held.since for held in truth.states(FIRST_MERCHANT)] == [100_000, 101_000, 102_000]
    assert list(truth.during(FIRST_MERCHANT, 99_000, 100_999)) == [first]
    assert list(truth.during(FIRST_MERCHANT, 101_000, 101_000)) == [first, second]
    assert list(truth.during(FIRST_MERCHANT, 101_001, 105_000)) == [second, None]
    assert list(truth.during(FIRST_MERCHANT, 0, 99_999)) == []
    assert len(truth.states(FIRST_MERCHANT + 1)) == 1


def test_the_aggregate_has_the_time_of_the_move_that_made_it() -> None:
    clock = Clock()
    world = build("random", 2, Random(1), clock)
    clock.now = 101
    world.move()
    clock.now = 102
    found = world.account(0)
    assert [(held.since, held.account) for held in world.truth.states(0)] == [(101_000, found)]


async def test_another_process_asks_for_it(ask: Ask) -> None:
    async with Sandbox(scenario="document", merchants=4) as sandbox:
        sandbox.world.move(12345)
        sandbox.world.delete(12345)
        status, _, body = await ask(sandbox.control_url, "/merchants/12345/history", method="GET")
        first, second, gone = json.loads(body)["states"]
        assert status == 200
        assert first["balances"] != second["balances"]
        assert first["since"] <= second["since"] <= gone["since"]
        assert (first["canDeposit"], gone["absent"]) == (True, True)


def test_deposits_flap() -> None:
    held = walk("flapping")
    assert len({account.can_deposit for account in held[::2]}) == 1
    assert {rows(account) == rows(held[0]) for account in held} == {True}
    assert held[0].can_deposit != held[1].can_deposit


def test_assets_come_and_go_but_for_the_last() -> None:
    names = [rows(account).keys() for account in walk("assets")]
    assert all(names)
    assert all(len(one ^ other) == 1 for one, other in itertools.pairwise(names))
    assert {len(one) > len(other) for one, other in itertools.pairwise(names)} == {True, False}


def test_contents_come_back() -> None:
    held = walk("returning")
    assert sum(one == other for one, other in zip(held, held[2:], strict=False)) > 100


def test_rows_change_their_order_alone() -> None:
    held = walk("permuted")
    assert len({tuple(str(row["assetId"]) for row in account.balances) for account in held}) > 1
    assert {rows(account) == rows(held[0]) for account in held} == {True}


def test_names_of_assets_change_alone() -> None:
    held = walk("renamed")
    assert len({str(row["assetName"]) for account in held for row in account.balances}) > 100
    assert len({tuple((row["assetId"], row["total"]) for row in account.balances) for account in held}) == 1


def test_bursts_change_one_merchant_many_times() -> None:
    world = build("bursts", 5, Random(3))
    for _ in range(100):
        world.move()
    moves = [len(world.truth.states(merchant)) - 1 for merchant in world.merchant_ids]
    assert sum(moves) == 100
    assert {count % 20 for count in moves} == {0}


@pytest.mark.parametrize("scenario", MOTIONS)
def test_each_way_of_moving_keeps_the_aggregate_the_sum(scenario: Moving) -> None:
    world = build(scenario, 3, Random(5))
    for _ in range(200):
        world.move()
    again = World({one: found for one in world.merchant_ids if (found := world.account(one))}, Random(0))
    assert {asset: row["total"] for asset, row in rows(world.account(0)).items()} == {
        asset: row["total"] for asset, row in rows(again.account(0)).items()
    }
