from random import Random

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from app.balances.amounts import Amount
from app.balances.snapshots import Snapshot
from app.balances.totals import Total, Totals
from tests.support.amounts import ASSETS, amounts, as_units, draw_snapshot, make_row, make_snapshot, sum_units

snapshots = st.dictionaries(st.sampled_from(ASSETS), st.tuples(amounts, amounts, amounts), max_size=3).map(
    lambda rows: make_snapshot(
        "1", (make_row(asset, free, locked, total) for asset, (total, free, locked) in rows.items())
    )
)


def units_of(totals: Totals) -> dict[str, tuple[int, int, int, int]]:
    return {
        one.asset_id: (as_units(one.total), as_units(one.free), as_units(one.locked), one.merchants)
        for one in totals.list()
    }


@settings(max_examples=50, deadline=None)
@given(st.lists(snapshots, max_size=8), st.lists(snapshots, max_size=8), st.randoms())
def test_what_stays_in_is_what_counts_in_whatever_order_it_came_and_went(
    staying: list[Snapshot], leaving: list[Snapshot], random: Random
) -> None:
    totals = Totals()
    steps = [(totals.add, one) for one in staying] + [(totals.add, one) for one in leaving]
    random.shuffle(steps)
    for step, one in steps:
        step(one)
    for one in random.sample(leaving, len(leaving)):
        totals.remove(one)
    assert units_of(totals) == sum_units(staying)
    assert totals == Totals(staying)


@settings(max_examples=2, deadline=None)
@given(st.integers())
def test_totals_of_ten_thousand_merchants_are_exact_over_ten_thousand_updates(seed: int) -> None:
    random = Random(seed)
    held = {number: draw_snapshot(random, str(number)) for number in range(10_000)}
    totals = Totals(held.values())
    for update in range(10_000):
        number = random.randrange(10_000)
        totals.remove(held[number])
        held[number] = draw_snapshot(random, str(number))
        totals.add(held[number])
        if update == 5_000:
            assert units_of(totals) == sum_units(held.values())
    assert units_of(totals) == sum_units(held.values())


def test_a_copy_goes_its_own_way() -> None:
    totals = Totals([make_snapshot("1", [make_row("BTC", Amount("1"))])])
    twin = totals.copy()
    twin.add(make_snapshot("2", [make_row("BTC", Amount("2"))]))
    assert [[one.free for one in each.list()] for each in (totals, twin)] == [["1"], ["3"]]


def test_amounts_that_cancel_out_are_a_zero_that_is_listed() -> None:
    totals = Totals(make_snapshot("1", [make_row("BTC", Amount(free))]) for free in ("-0.5", "0.5"))
    assert totals.list() == (Total("BTC", "BTC", "BTC", Amount("0"), Amount("0"), Amount("0"), 2),)


def test_an_asset_that_nobody_lists_any_more_is_not_listed() -> None:
    one = make_snapshot("1", [make_row("BTC", Amount("1"))])
    totals = Totals([one])
    totals.remove(one)
    assert totals.list() == ()
    assert totals == Totals()


def test_what_went_before_it_came_counts_as_if_it_had_come_first() -> None:
    one = make_snapshot("1", [make_row("BTC", Amount("1"))])
    totals = Totals()
    totals.remove(one)
    totals.add(one)
    assert totals == Totals()


def test_names_do_not_depend_on_the_order() -> None:
    row = make_row("BTC", Amount("1"))
    both = [make_snapshot("1", [msgspec.structs.replace(row, asset_name=name)]) for name in ("Bitcoin", "bitcoin")]
    assert {Totals(order).list()[0].asset_name for order in (both, both[::-1])} == {"Bitcoin"}
