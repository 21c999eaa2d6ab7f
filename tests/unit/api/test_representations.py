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


def test_a_view_is_rendered_once_for_a_snapshot() -> None:
    representations, snapshot, rendered = RepresentationCache(10, 10**6), _snapshot(), []

    def render(of: Snapshot) -> Representation:
        rendered.append(of)
        return _representation(of)

    different = {id(representations.get(NAME, snapshot, render)) for _ in range(3)}
    assert (len(different), rendered) == (1, [snapshot])


def test_a_representation_is_of_its_very_snapshot_only_and_another_one_takes_its_place() -> None:
    representations, snapshot, equal = RepresentationCache(10, 10**6), _snapshot(), _snapshot()
    representations.get(NAME, snapshot, lambda of: _representation(of, b"old"))
    newer = representations.get(NAME, equal, lambda of: _representation(of, b"new"))
    assert newer.snapshot is equal
    assert newer.select_coding(None)[1] == b"new"
    assert representations.get(NAME, equal, _representation) is newer
    assert (len(representations), representations.bytes) == (1, newer.size_bytes)


def test_what_cannot_be_rendered_says_so_each_time_and_leaves_what_there_is() -> None:
    representations, snapshot = RepresentationCache(10, 10**6), _snapshot()

    def refuse(of: Snapshot) -> Representation:
        raise UnknownAsset("It has none.")

    representation = representations.get(NAME, snapshot, _representation)
    for _ in range(2):
        with pytest.raises(UnknownAsset):
            representations.get(NAME, _snapshot(1), refuse)
    assert representations.get(NAME, snapshot, refuse) is representation


def test_the_least_recently_used_representation_goes_first() -> None:
    representations, snapshot = RepresentationCache(2, 10**6), _snapshot()
    rendered: list[str] = []

    def get(path: str) -> None:
        def render(of: Snapshot) -> Representation:
            rendered.append(path)
            return _representation(of)

        representations.get((path, ""), snapshot, render)

    for path in ("a", "b", "a", "c", "a", "c", "b"):
        get(path)
    assert rendered == ["a", "b", "c", "b"]


def test_representations_are_bounded_in_bytes() -> None:
    random, snapshot = Random(1), _snapshot()
    representations = RepresentationCache(10_000, 100_000)
    made: dict[str, Representation] = {}
    for number in range(500):
        path = str(number % 70)
        body = bytes(random.randrange(9_000))
        made[path] = representations.get(
            (path, ""),
            _snapshot(number),
            lambda of, body=body: _representation(of, body),  # type: ignore[misc]
        )
        assert representations.bytes <= 100_000
    newest = list(made.values())[500 % 70 :] + list(made.values())[: 500 % 70]
    assert representations.bytes == sum(one.size_bytes for one in newest[-len(representations) :])
    huge = representations.get(NAME, snapshot, lambda of: _representation(of, bytes(200_000)))
    assert (len(representations), representations.bytes) == (1, huge.size_bytes)


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
