"""A time limit, in virtual time."""

import asyncio

import pytest

from app.resilience.time_limit import TimeLimit
from tests.support.virtual_time import monotonic


async def test_what_ends_in_time_is_left_alone() -> None:
    with TimeLimit(2) as limit:
        await asyncio.sleep(1)
    await asyncio.sleep(5)
    assert (limit.is_over, monotonic()) == (False, 6)


async def test_what_takes_longer_is_cancelled_and_the_task_goes_on() -> None:
    with pytest.raises(TimeoutError), TimeLimit(2) as limit:
        await asyncio.sleep(9)
    await asyncio.sleep(1)
    task = asyncio.current_task()
    assert task is not None
    assert (limit.is_over, task.cancelling(), monotonic()) == (True, 0, 3)


async def test_an_error_of_the_body_is_what_is_raised() -> None:
    with pytest.raises(KeyError), TimeLimit(2):
        raise KeyError


async def test_a_lifted_limit_ends_nothing() -> None:
    with TimeLimit(2) as limit:
        limit.lift()
        await asyncio.sleep(9)
    assert not limit.is_over


async def test_the_inner_of_two_limits_ends_its_own_body_only() -> None:
    with TimeLimit(5):
        with pytest.raises(TimeoutError), TimeLimit(2):
            await asyncio.sleep(9)
        await asyncio.sleep(1)
    assert monotonic() == 3


@pytest.mark.parametrize("seconds", [1, 2])
async def test_a_cancellation_by_somebody_else_stays_one_also_at_the_same_moment(seconds: float) -> None:
    async def run() -> None:
        with TimeLimit(2):
            await asyncio.sleep(9)

    task = asyncio.create_task(run())
    await asyncio.sleep(seconds)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()
