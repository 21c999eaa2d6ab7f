from collections.abc import Sequence
from random import Random

import msgspec
import pytest

from app.accounts import AccountResult, Available, Unavailable
from app.api.rendering.batch_fragments import BatchFragments
from app.api.views.batch import BatchView
from app.balances.amounts import Amount
from app.balances.snapshots import AccountId, Anomaly, AnomalyKind, Snapshot
from app.cache.served import Served, Source
from app.errors import BudgetSpent, UnknownMerchant
from tests.support.amounts import draw_snapshot, make_row, make_snapshot

CAPACITY = 10**6


def _told(snapshot: Snapshot, *, is_stale: bool = False) -> Available:
    return Available(snapshot, Served(snapshot, Source.MEMORY, is_stale=is_stale))


def _one(amount: str = "1", as_of: int = 1_000, key: str = "7") -> Snapshot:
    return make_snapshot(key, [make_row("BTC", Amount(amount))], as_of)


def _odd() -> Snapshot:
    odd = Anomaly(asset_id="fresh", kind=AnomalyKind.DUPLICATE_ASSET, rows=2)
    return Snapshot(
        AccountId("8"), 5, can_deposit=False, balances=(make_row("fresh", Amount("-2.5")),), anomalies=(odd,)
    )


def _draw(random: Random) -> Sequence[AccountResult]:
    told = [_told(draw_snapshot(random, str(key)), is_stale=random.random() < 0.5) for key in range(1, 40)]
    missing = [
        Unavailable(AccountId("99"), UnknownMerchant("None.")),
        Unavailable(AccountId("98"), BudgetSpent("", retry_after_seconds=3)),
    ]
    parts: list[AccountResult] = [*told, _told(_odd()), *missing]
    random.shuffle(parts)
    return parts


def _whole(parts: Sequence[AccountResult]) -> bytes:
    return msgspec.json.encode(BatchView.of(parts, lambda _: True))


@pytest.mark.parametrize("seed", range(20))
def test_a_batch_is_written_byte_for_byte_as_its_view(seed: int) -> None:
    random = Random(seed)
    fragments = BatchFragments(CAPACITY)
    for _ in range(3):
        parts = _draw(random)
        assert fragments.write(parts).body == _whole(parts)
        assert fragments.write(parts) == fragments.write(parts)


def test_a_snapshot_is_written_once_whatever_its_status() -> None:
    fragments = BatchFragments(CAPACITY)
    snapshot = _one()
    fragments.write([_told(snapshot)])
    kept = fragments._fragments[snapshot.account_id]
    stale = [_told(snapshot, is_stale=True)]
    assert fragments.write(stale).body == _whole(stale)
    assert fragments._fragments[snapshot.account_id] is kept


def test_an_outdated_strip_is_never_sent() -> None:
    fragments = BatchFragments(CAPACITY)
    for snapshot in (_one("1"), _one("2"), _one("2", as_of=2_000), _one("1")):
        parts = [_told(snapshot)]
        assert fragments.write(parts).body == _whole(parts)
    assert len(fragments) == 1


def test_the_tag_is_that_of_what_is_said_whenever_it_was() -> None:
    fragments = BatchFragments(CAPACITY)
    tag = fragments.write([_told(_one()), _told(_odd())]).etag
    assert fragments.write([_told(_one(as_of=9_000)), _told(_odd())]).etag == tag
    others: list[list[AccountResult]] = [
        [_told(_one("2")), _told(_odd())],
        [_told(_one(), is_stale=True), _told(_odd())],
        [_told(_one(key="9")), _told(_odd())],
        [_told(_odd()), _told(_one())],
        [_told(_one())],
        [_told(_one()), Unavailable(AccountId("8"), UnknownMerchant("None."))],
        [_told(_one()), Unavailable(AccountId("8"), BudgetSpent("Spent."))],
    ]
    tags = {fragments.write(parts).etag for parts in others}
    assert len(tags | {tag}) == len(others) + 1


def test_the_tag_is_the_same_whether_the_strips_were_there_or_not() -> None:
    snapshot = _one()
    warm = BatchFragments(CAPACITY)
    warm.write([_told(snapshot, is_stale=True)])
    assert warm.write([_told(snapshot)]) == BatchFragments(CAPACITY).write([_told(snapshot)])


def test_they_take_no_more_than_they_may() -> None:
    fragments = BatchFragments(5_000)
    for number in range(1, 200):
        fragments.write([_told(_one(key=str(number)))])
        assert fragments.bytes <= 5_000
        assert fragments.bytes == sum(fragment.size_bytes for fragment in fragments._fragments.values())
    assert len(fragments) > 1
