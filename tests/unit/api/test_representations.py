from random import Random

import pytest

from app.api.rendering.encodings import Coding
from app.api.rendering.representations import Representation, RepresentationCache
from app.balances.snapshots import AccountId, Snapshot
from app.errors import UnknownAsset

BODY = b'{"assetId":"USDT","total":"1000"}' * 40
NAME = ("/v1/portfolio", "")


def _snapshot(as_of: int = 0) -> Snapshot:
    return Snapshot(AccountId("0"), as_of, can_deposit=True, balances=())


def _representation(snapshot: Snapshot, body: bytes = BODY) -> Representation:
    return Representation(snapshot, "application/json", "Accept", 'W/"x"', body)


def test_a_page_is_rendered_once_for_a_snapshot() -> None:
    representations, snapshot, rendered = RepresentationCache(10, 10**6), _snapshot(), []

    def render(of: Snapshot) -> Representation:
        rendered.append(of)
        return _representation(of)

    different = {id(representations.render(NAME, snapshot, render)) for _ in range(3)}
    assert (len(different), rendered) == (1, [snapshot])


def test_a_page_holds_for_its_very_snapshot_only_and_is_made_anew_as_it_was_made_before() -> None:
    representations, snapshot, equal = RepresentationCache(10, 10**6), _snapshot(), _snapshot()
    assert representations.find(NAME, snapshot) is None
    representation = representations.render(NAME, snapshot, lambda of: _representation(of, b"mine"))
    assert representations.find(NAME, snapshot) is representation
    newer = representations.find(NAME, equal)
    assert newer is not None
    assert newer.snapshot is equal
    assert newer.select_coding(None)[1] == b"mine"
    assert representations.find(NAME, equal) is newer
    assert (len(representations), representations.bytes) == (1, newer.size_bytes)


def test_a_page_that_can_be_made_no_longer_says_so_each_time() -> None:
    representations, snapshot = RepresentationCache(10, 10**6), _snapshot()

    def render(of: Snapshot) -> Representation:
        if of is not snapshot:
            raise UnknownAsset("It has none.")
        return _representation(of)

    representation = representations.render(NAME, snapshot, render)
    for _ in range(2):
        with pytest.raises(UnknownAsset):
            representations.find(NAME, _snapshot(1))
    assert representations.find(NAME, snapshot) is representation


def test_the_least_recently_used_page_goes_first() -> None:
    representations, snapshot = RepresentationCache(2, 10**6), _snapshot()
    for path in ("a", "b"):
        representations.render((path, ""), snapshot, _representation)
    representations.find(("a", ""), snapshot)
    representations.render(("c", ""), snapshot, _representation)
    assert [path for path in "abc" if representations.find((path, ""), snapshot)] == ["a", "c"]


def test_pages_are_bounded_in_bytes() -> None:
    random, snapshot = Random(1), _snapshot()
    representations = RepresentationCache(10_000, 100_000)
    for number in range(500):
        representations.render(
            (str(number % 70), ""), _snapshot(number), lambda of: _representation(of, bytes(random.randrange(9_000)))
        )
        assert representations.bytes <= 100_000
    assert representations.bytes == sum(
        representation.size_bytes for representation, _ in representations._representations.values()
    )
    huge = representations.render(NAME, snapshot, lambda of: _representation(of, bytes(200_000)))
    assert (len(representations), representations.find(NAME, snapshot)) == (1, huge)


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
    chosen, sent = _representation(_snapshot(), body).select_coding(header)
    assert chosen is coding
    assert (sent == body) is (coding is Coding.IDENTITY)
