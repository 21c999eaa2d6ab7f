"""Amounts, worlds, and the aggregate that must be the sum."""

import re
from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from random import Random

import pytest

from sandbox import Sandbox, World
from sandbox.amounts import exact, plain
from sandbox.scenarios import build

AMOUNTS = ("total", "free", "locked")


def rows_of(world: World, merchant_id: int) -> list[Mapping[str, object]]:
    account = world.account(merchant_id)
    assert account is not None
    return list(account.balances)


def summed(world: World) -> dict[str, list[Fraction]]:
    """Add everything up from its texts, in an arithmetic that the sandbox does not use."""
    sums: dict[str, list[Fraction]] = defaultdict(lambda: [Fraction(0)] * 3)
    for merchant_id in world.merchant_ids:
        for row in rows_of(world, merchant_id):
            added = zip(sums[str(row["assetId"])], AMOUNTS, strict=True)
            sums[str(row["assetId"])] = [before + Fraction(str(row[name])) for before, name in added]
    return dict(sums)


def aggregated(world: World) -> dict[str, list[Fraction]]:
    return {str(row["assetId"]): [Fraction(str(row[name])) for name in AMOUNTS] for row in rows_of(world, 0)}


@pytest.mark.parametrize("scenario", ["random", "document"])
@pytest.mark.parametrize("seed", [1, 2, 7])
def test_the_aggregate_is_exactly_the_sum_after_every_one_of_thousands_of_moves(scenario: str, seed: int) -> None:
    world = build("random" if scenario == "random" else "document", 12, Random(seed))
    for move in range(3000):
        world.move()
        if move % 20 == 0:
            assert aggregated(world) == summed(world)
    assert aggregated(world) == summed(world)


def test_a_random_world_holds_amounts_of_every_awkward_size() -> None:
    world = Sandbox(merchants=200).world
    texts = {str(row[name]) for one in world.merchant_ids for row in rows_of(world, one) for name in AMOUNTS}
    shapes = {
        "zero": r"0",
        "zero with an exponent": r"0E-8",
        "a small exponent": r"[1-9]E-8",
        "plain integer": r"[1-9][0-9]*",
        "thirty digits": r"[0-9]{30}",
        "thirty digits with eighteen decimals": r"[0-9]{12}\.[0-9]{18}",
        "trailing zeros": r"[0-9]+\.[0-9]*0",
    }
    missing = [name for name, shape in shapes.items() if not any(re.fullmatch(shape, text) for text in texts)]
    assert not missing


def test_a_random_world_is_always_consistent_also_when_it_moves() -> None:
    world = Sandbox(merchants=30).world
    for _ in range(500):
        world.move()
    for merchant_id in world.merchant_ids:
        for row in rows_of(world, merchant_id):
            assert Fraction(str(row["total"])) == Fraction(str(row["free"])) + Fraction(str(row["locked"]))
            assert all(isinstance(value, str) for value in row.values())


def test_a_random_world_has_merchants_from_10001_with_one_to_eight_assets() -> None:
    world = Sandbox(merchants=300).world
    assert world.merchant_ids == list(range(10001, 10301))
    sizes = {len({row["assetId"] for row in rows_of(world, one)}) for one in world.merchant_ids}
    assert sizes == set(range(1, 9))
    assert {world.account(one).can_deposit for one in world.merchant_ids} == {True, False}  # type: ignore[union-attr]


def test_the_same_seed_makes_the_same_world_and_the_same_moves() -> None:
    one, other = Sandbox(seed=3).world, Sandbox(seed=3).world
    assert [one.move() for _ in range(200)] == [other.move() for _ in range(200)]
    assert [one.account(n) for n in one.merchant_ids] == [other.account(n) for n in other.merchant_ids]


def test_another_seed_makes_another_world() -> None:
    assert Sandbox(seed=3).world.account(0) != Sandbox(seed=4).world.account(0)


def test_faults_do_not_change_how_the_world_moves() -> None:
    calm, troubled = Sandbox(seed=3), Sandbox(seed=3)
    troubled.add_fault("status", status=500, share=0.5)
    assert [calm.world.move() for _ in range(50)] == [troubled.world.move() for _ in range(50)]
    assert calm.world.account(0) == troubled.world.account(0)


def test_every_move_changes_the_balances_of_the_merchant_it_names_and_of_nobody_else() -> None:
    world = Sandbox(merchants=6).world
    for _ in range(500):
        before = {one: world.account(one) for one in world.merchant_ids}
        moved = world.move()
        assert [one for one in world.merchant_ids if world.account(one) != before[one]] == [moved]


def test_a_merchant_without_rows_moves_only_when_it_is_named() -> None:
    world = Sandbox(scenario="document", merchants=3).world
    assert 12346 not in {world.move() for _ in range(100)}
    assert world.move(12346) == 12346
    assert len(rows_of(world, 12346)) == 1
    assert 12346 in {world.move() for _ in range(100)}
    assert aggregated(world) == summed(world)


def test_a_world_where_nobody_has_rows_does_not_move() -> None:
    assert Sandbox(merchants=0).world.move() is None


def test_a_merchant_is_set_as_given_however_inconsistent() -> None:
    world = Sandbox(merchants=2).world
    row = {"asset": "X", "assetId": "X", "assetName": "X", "total": "9", "free": "1", "locked": "1"}
    world.set(10001, [row, row], can_deposit=False)
    assert rows_of(world, 10001) == [row, row]
    assert world.account(10001).can_deposit is False  # type: ignore[union-attr]
    assert aggregated(world)["X"] == [18, 2, 2]


@pytest.mark.parametrize("total", ["NaN", "", "1_0x", "1E+999999", "1E-999999", 1.5, None])
def test_a_row_that_cannot_be_added_up_is_sent_and_not_summed(total: object) -> None:
    world = Sandbox(merchants=3).world
    before = rows_of(world, 0)
    row = {"asset": "X", "assetId": "X", "assetName": "X", "total": total, "free": "1", "locked": "1"}
    world.set(777, [row])
    assert rows_of(world, 777) == [row]
    assert rows_of(world, 0) == before
    world.delete(777)
    assert rows_of(world, 0) == before


def test_a_deleted_merchant_leaves_the_aggregate_and_takes_its_asset_along() -> None:
    world = Sandbox(scenario="document", merchants=3).world
    world.set(777, [{"asset": "X", "assetId": "X", "assetName": "X", "total": "1", "free": "1", "locked": "0"}])
    assert [row["assetId"] for row in rows_of(world, 0)] == ["USDT", "BTC", "X"]
    world.delete(777)
    assert world.account(777) is None
    assert [row["assetId"] for row in rows_of(world, 0)] == ["USDT", "BTC"]


@pytest.mark.parametrize("merchant_id", [0, -1])
def test_the_aggregate_is_no_merchant_that_could_be_set(merchant_id: int) -> None:
    with pytest.raises(ValueError, match="no merchant"):
        Sandbox(merchants=1).world.set(merchant_id, [])


def test_a_discrepancy_stays_through_moves_until_it_is_removed() -> None:
    world = Sandbox(scenario="document", merchants=4).world
    world.disturb("BTC", Decimal("-0.00000001"))
    for _ in range(50):
        world.move()
    total, free, locked = summed(world)["BTC"]
    off = Fraction(-1, 10**8)
    assert aggregated(world)["BTC"] == [total + off, free + off, locked]
    world.disturb("BTC", Decimal(0))
    assert aggregated(world) == summed(world)


def test_an_account_is_replaced_never_changed() -> None:
    world = Sandbox(merchants=1).world
    before = world.account(10001)
    assert world.account(10001) is before
    world.move()
    assert world.account(10001) is not before


@pytest.mark.parametrize(
    ("text", "written"),
    [("0E-8", "0"), ("1E-8", "0.00000001"), ("2.0", "2"), ("500", "500"), ("-0.50", "-0.5"), ("1E+3", "1000")],
)
def test_sums_are_written_plainly(text: str, written: str) -> None:
    value = exact(text)
    assert value is not None
    assert plain(value) == written


def test_in_the_scenario_of_that_name_the_aggregate_disagrees_in_all_ways_at_once() -> None:
    world = build("disagreement", 20, Random(1))
    aggregate = world.account(0)
    assert aggregate is not None
    names = {row["assetId"]: row["assetName"] for row in aggregate.balances}
    assert (aggregate.can_deposit, next(iter(names)), names["USDT"]) == (False, "XAUT", "Tether")
    assert "BTC" not in names
