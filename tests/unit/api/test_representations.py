from random import Random

import pytest

from app.api.rendering.encodings import Coding
from app.api.rendering.representations import Sheet, Shelf
from app.balances.snapshots import Key, Snapshot
from app.errors import UnknownAsset

BODY = b'{"assetId":"USDT","total":"1000"}' * 40
NAME = ("/v1/portfolio", "")


def _snapshot(as_of: int = 0) -> Snapshot:
    return Snapshot(Key("0"), as_of, can_deposit=True, balances=())


def _sheet(snapshot: Snapshot, body: bytes = BODY) -> Sheet:
    return Sheet(snapshot, "application/json", "Accept", 'W/"x"', body)


def test_a_page_is_rendered_once_for_a_snapshot() -> None:
    shelf, snapshot, rendered = Shelf(10, 10**6), _snapshot(), []

    def render(of: Snapshot) -> Sheet:
        rendered.append(of)
        return _sheet(of)

    sheets = {id(shelf.render(NAME, snapshot, render)) for _ in range(3)}
    assert (len(sheets), rendered) == (1, [snapshot])


def test_a_page_holds_for_its_very_snapshot_only_and_is_made_anew_as_it_was_made_before() -> None:
    shelf, snapshot, equal = Shelf(10, 10**6), _snapshot(), _snapshot()
    assert shelf.find(NAME, snapshot) is None
    sheet = shelf.render(NAME, snapshot, lambda of: _sheet(of, b"mine"))
    assert shelf.find(NAME, snapshot) is sheet
    newer = shelf.find(NAME, equal)
    assert newer is not None
    assert newer.snapshot is equal
    assert newer.choose(None)[1] == b"mine"
    assert shelf.find(NAME, equal) is newer
    assert (len(shelf), shelf.bytes) == (1, newer.weight)


def test_a_page_that_can_be_made_no_longer_says_so_each_time() -> None:
    shelf, snapshot = Shelf(10, 10**6), _snapshot()

    def render(of: Snapshot) -> Sheet:
        if of is not snapshot:
            raise UnknownAsset("It has none.")
        return _sheet(of)

    sheet = shelf.render(NAME, snapshot, render)
    for _ in range(2):
        with pytest.raises(UnknownAsset):
            shelf.find(NAME, _snapshot(1))
    assert shelf.find(NAME, snapshot) is sheet


def test_the_least_recently_used_page_goes_first() -> None:
    shelf, snapshot = Shelf(2, 10**6), _snapshot()
    for path in ("a", "b"):
        shelf.render((path, ""), snapshot, _sheet)
    shelf.find(("a", ""), snapshot)
    shelf.render(("c", ""), snapshot, _sheet)
    assert [path for path in "abc" if shelf.find((path, ""), snapshot)] == ["a", "c"]


def test_pages_are_bounded_in_bytes() -> None:
    random, snapshot = Random(1), _snapshot()
    shelf = Shelf(10_000, 100_000)
    for number in range(500):
        shelf.render((str(number % 70), ""), _snapshot(number), lambda of: _sheet(of, bytes(random.randrange(9_000))))
        assert shelf.bytes <= 100_000
    assert shelf.bytes == sum(sheet.weight for sheet, _ in shelf._sheets.values())
    huge = shelf.render(NAME, snapshot, lambda of: _sheet(of, bytes(200_000)))
    assert (len(shelf), shelf.find(NAME, snapshot)) == (1, huge)


@pytest.mark.parametrize(
    ("body", "header", "coding"),
    [
        (BODY, "gzip", Coding.GZIP),
        (BODY, "br, gzip", Coding.BR),
        (BODY, None, Coding.IDENTITY),
        (BODY[:33], "br, gzip", Coding.IDENTITY),
        (Random(2).randbytes(5_000), "br, gzip", Coding.IDENTITY),
        (BODY[:33], "gzip, identity;q=0", Coding.GZIP),
        (BODY, "*;q=0", Coding.IDENTITY),
    ],
)
def test_a_body_is_compressed_where_the_caller_takes_it_and_it_pays(
    body: bytes, header: str | None, coding: Coding
) -> None:
    chosen, sent = _sheet(_snapshot(), body).choose(header)
    assert chosen is coding
    assert (sent == body) is (coding is Coding.IDENTITY)
