"""Readers of results: each takes what its command returns, and nothing else."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from fakeredis import FakeAsyncRedis
from hypothesis import given
from hypothesis import strategies as st

from app.fleet.jobs import _read_id, _read_record
from app.fleet.shared_value import _read_shared
from app.redis.commands import count_subscribers
from app.redis.results import (
    WrongShape,
    read_bytes,
    read_flag,
    read_integer,
    read_lease,
    read_permits,
    values_reader,
)

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.binary(max_size=3) | st.text(max_size=3)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=2), inner, max_size=2)
)


def is_int(value: Any) -> bool:
    return type(value) is int


def is_value(value: Any) -> bool:
    return value is None or isinstance(value, bytes)


def is_permit(value: Any, wanted: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(map(is_int, value))
        and 0 <= value[0] <= wanted
        and 0 <= value[1] <= 86_400_000_000
        and 0 <= value[2] <= 10_000
    )


def is_lease(value: Any) -> bool:
    if not isinstance(value, list) or len(value) < 2 or not is_value(value[0]) or not is_int(value[1]):
        return False
    has_entry = value[1] != -1 or value[0] is not None
    return value[1] >= -1 and has_entry and (len(value) == 2 or is_permit(value[2:], 1))


def is_shared(value: Any) -> bool:
    words = (b"kept", b"ours", b"elsewhere", b"failed")
    return (
        isinstance(value, list)
        and len(value) == 3
        and value[0] in words
        and isinstance(value[1], bytes)
        and is_int(value[2])
    )


def is_values(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(is_value, value))


READERS: list[tuple[Callable[[Any], object], Callable[[Any], bool]]] = [
    (read_integer, is_int),
    (read_flag, lambda value: is_int(value) and value in {0, 1}),
    (read_bytes, lambda value: isinstance(value, bytes)),
    (partial(read_permits, wanted=3), partial(is_permit, wanted=3)),
    (read_lease, is_lease),
    (_read_shared, is_shared),
    (values_reader(2), is_values),
]


@pytest.mark.parametrize(("read", "is_right"), READERS, ids=range(len(READERS)))
@given(value=VALUES | st.lists(st.integers(-2, 4) | st.binary(max_size=2), min_size=2, max_size=5))
def test_a_result_is_read_or_of_the_wrong_shape(
    read: Callable[[Any], object], is_right: Callable[[Any], bool], value: Any
) -> None:
    if is_right(value):
        read(value)
    else:
        with pytest.raises(WrongShape):
            read(value)


def test_ids_are_text() -> None:
    assert (_read_id(b"j1"), _read_id(b"")) == ("j1", "")
    assert _read_record([b"{}", None]).leaseholder is None
    assert _read_record([b"{}", b"\xff"]).leaseholder == "\ufffd"  # another program's, and no id of ours


@pytest.mark.parametrize(
    "result", [[-1, 0, 1], [4, 0, 1], [0, -1, 1], [0, 86_400_000_001, 1], [0, 0, -1], [0, 0, 10_001]]
)
def test_permits_that_no_budget_grants_are_none(result: list[int]) -> None:
    assert read_permits([3, 86_400_000_000, 10_000], 3) == (3, 86_400_000_000, 10_000)
    with pytest.raises(WrongShape):
        read_permits(result, 3)


class Answering(FakeAsyncRedis):
    """A client whose commands have one answer, as redis-py hands it on."""

    answer: object = None

    async def execute_command(self, *_: object, **__: object) -> object:
        return self.answer


async def test_subscribers_are_counted_of_the_channel_that_was_asked_for() -> None:
    client = Answering()
    client.answer = [(b"c", 3)]
    assert await count_subscribers(client, "c") == 3
    for answer in ([(79, 75)], [(b"d", 3)], [(b"c", -1)], [(b"c", b"3")], [], [(b"c", 1), (b"c", 2)], None, b"OK", 7):
        client.answer = answer
        with pytest.raises((ValueError, TypeError)):
            await count_subscribers(client, "c")
