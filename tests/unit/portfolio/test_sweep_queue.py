from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.balances.snapshots import Absence, AccountId, Entry
from app.errors import BudgetSpent, TokenRefused, UpstreamFaulty
from app.portfolio.sweep_queue import UNKNOWN, SweepQueue
from tests.support.amounts import make_snapshot

DUE_MS = 5_000


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def make_queue(clock: Clock, merchants: Iterable[str], known: dict[str, int] | None = None) -> SweepQueue:
    """Make a queue of merchants; those that are known are so long ago, in milliseconds."""
    entries = {key: entry_of(key, clock.now - age) for key, age in (known or {}).items()}
    queue = SweepQueue(DUE_MS, clock)
    queue.set_merchants(ids(*merchants), entries.get)
    return queue


def ids(*keys: str) -> AbstractSet[AccountId]:
    """Name merchants, in this order."""
    return dict.fromkeys(map(AccountId, keys)).keys()


def nothing(_: AccountId) -> None:
    """Know nothing of any merchant."""


def entry_of(key: str, as_of: int) -> Entry:
    return make_snapshot(key, [], as_of)


def take_all(queue: SweepQueue) -> list[str]:
    """Take what is due, and put nothing back."""
    taken: list[str] = []
    while (need := queue.take()) is not None:
        taken.append(need.account_id)
    return taken


def test_the_unknown_come_first_then_the_oldest_and_none_that_is_young(clock: Clock) -> None:
    queue = make_queue(clock, "12345", {"1": 6_000, "2": 9_000, "3": 1_000})
    assert take_all(queue) == ["4", "5", "2", "1"]
    assert queue.unknown == 2
    assert queue.seconds_to_due() == 1
    clock.now += 3_500
    assert queue.seconds_to_due() == 0.5
    clock.now += 500
    assert take_all(queue) == ["3"]


def test_an_entry_that_comes_another_way_counts_as_a_fetch(clock: Clock) -> None:
    queue = make_queue(clock, "12", {"1": 9_000})
    queue.on_put(entry_of("1", clock.now))
    queue.on_put(Absence(AccountId("2"), clock.now))
    queue.on_put(entry_of("3", clock.now))
    assert (take_all(queue), queue.unknown, len(queue)) == ([], 0, 2)
    assert queue.oldest_as_of == clock.now


def test_what_memory_drops_is_still_known(clock: Clock) -> None:
    queue = make_queue(clock, "1", {"1": 1_000})
    queue.on_drop(AccountId("1"))
    assert take_all(queue) == []


def test_merchants_may_come_and_go_also_while_they_are_fetched(clock: Clock) -> None:
    queue = make_queue(clock, "12", {"2": 9_000})
    assert queue.take() is not None
    assert queue.set_merchants(ids("2", "3"), nothing)
    queue.put_back(AccountId("1"))
    assert take_all(queue) == ["3", "2"]
    assert not queue.set_merchants(ids("3", "2"), nothing)
    assert queue.set_merchants(ids("1"), nothing)
    queue.put_back(AccountId("3"))
    assert take_all(queue) == ["1"]


def test_one_that_fails_is_retried_after_a_pause_that_doubles(clock: Clock) -> None:
    queue = make_queue(clock, "1")
    for pause in (500, 1_000):
        assert queue.take() is not None
        queue.fail(AccountId("1"), UpstreamFaulty("x"))
        queue.put_back(AccountId("1"))
        clock.now += pause - 1
        assert queue.take() is None
        clock.now += 5_001  # retries in a row are rare
    assert isinstance(queue.last_failure(AccountId("1")), UpstreamFaulty)
    queue.on_put(entry_of("1", clock.now))
    assert queue.last_failure(AccountId("1")) is None


def test_after_its_third_failure_one_waits_until_the_sweep_comes_to_the_age_of_that(clock: Clock) -> None:
    queue = make_queue(clock, "12", {"2": 60_000})
    for _ in range(3):
        queue.fail(AccountId("1"), UpstreamFaulty("x"))
    assert queue.failing == 1
    assert take_all(queue) == ["2"]
    queue.on_put(entry_of("2", clock.now - 59_000))
    queue.put_back(AccountId("2"))
    clock.now += 20_000
    assert take_all(queue) == ["2"]  # it is still older than the failure


def test_retries_never_come_in_a_row_while_others_are_due(clock: Clock) -> None:
    bad, good = [f"9{number:02}" for number in range(10)], [f"1{number:02}" for number in range(40)]
    queue = make_queue(clock, [*bad, *good], dict.fromkeys(good, 60_000))
    for key in bad:
        queue.fail(AccountId(key), UpstreamFaulty("x"))
    clock.now += 1_000
    taken: list[AccountId] = []
    while (need := queue.take()) is not None and len(taken) < 30:
        taken.append(need.account_id)
        if need.account_id in good:
            queue.on_put(entry_of(need.account_id, clock.now))
        queue.put_back(need.account_id)
    retries = [place for place, key in enumerate(taken) if key in bad]
    assert len(retries) > 3
    assert all(later - earlier >= 4 for earlier, later in pairwise(retries))


def test_what_concerns_no_merchant_is_no_failure_of_one(clock: Clock) -> None:
    queue = make_queue(clock, "1")
    queue.fail(AccountId("1"), BudgetSpent("x"))
    assert queue.last_failure(AccountId("1")) is None
    refusal = TokenRefused("x")
    queue.fail(AccountId("1"), refusal)
    assert (queue.last_failure(AccountId("1")), queue.refusal) == (None, refusal)
    queue.on_put(entry_of("1", clock.now))
    assert queue.refusal is None


def test_the_unknown_are_numbered_in_their_order(clock: Clock) -> None:
    queue = make_queue(clock, "1234", {"2": 1})
    assert queue.positions() == {"1": 0, "3": 1, "4": 2}
    queue.on_put(entry_of("1", clock.now))
    assert queue.positions() == {"3": 0, "4": 1}
    assert queue.list_unknown() == ["3", "4"]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_whatever_happens_nobody_is_lost_and_the_neediest_comes_next(seed: int) -> None:
    random, clock = Random(seed), Clock()
    queue = make_queue(clock, [])
    merchants: set[AccountId] = set()
    as_of: dict[AccountId, int] = {}
    taken: set[AccountId] = set()
    for _ in range(300):
        clock.now += random.randrange(400)
        match random.randrange(5):
            case 0 if random.random() < 0.2:
                merchants = {AccountId(str(random.randrange(1, 30))) for _ in range(random.randrange(25))}
                as_of = {key: as_of.get(key, UNKNOWN) for key in merchants}
                queue.set_merchants(merchants, nothing)
            case 1 if taken:
                key = taken.pop()
                queue.put_back(key, pause_ms=0)
            case 2 if merchants:
                key = random.choice(sorted(merchants))
                as_of[key] = clock.now
                queue.on_put(entry_of(key, clock.now))
            case _:
                free = {key: when for key, when in as_of.items() if key not in taken}
                need = queue.take()
                if need is None:
                    assert not [when for when in free.values() if when <= clock.now - DUE_MS]
                else:
                    assert need.as_of == min(free.values())
                    taken.add(need.account_id)
        assert queue.unknown == sum(not when for when in as_of.values())
        assert len(queue) == len(merchants)
