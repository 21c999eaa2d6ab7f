"""A program that follows the feed of changes while replicas are killed and Redis suffers: each change once, or it is told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from sandbox import Sandbox
from tests.support.feed_follower import run_beside
from tests.support.followed_fleet import Stage
from tests.support.gateway import TOKEN, free_port
from tests.support.valkey import run_valkey

KILLS = 3


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with (
        Sandbox(token=TOKEN) as upstream,
        run_valkey(free_port()) as valkey,
        AsyncExitStack() as stack,
    ):
        staged = Stage(upstream, valkey, tmp_path, stack)
        await asyncio.gather(staged.start(), staged.start())
        yield staged


async def test_replicas_killed_at_any_point_leave_no_change_twice_and_none_out(stage: Stage) -> None:
    async def kill() -> None:
        for _ in range(KILLS):
            await stage.replace_one()

    await run_beside(stage.mover, stage.follower, kill)
    assert (stage.follower.twice, stage.follower.missing) == ([], [])
    assert not stage.follower.ends
    assert set(stage.mover.statuses) <= {200}


async def test_what_befalls_redis_is_told_and_nothing_is_invented(stage: Stage) -> None:
    for disturb in (stage.fill, stage.empty, stage.come_back_older):
        await run_beside(stage.mover, stage.follower, disturb)
        assert (stage.follower.twice, stage.follower.missing) == ([], []), disturb
    assert set(stage.follower.ends) <= {"/problems/feed-gone", "incomplete"}
    assert stage.follower.ends["/problems/feed-gone"] == 2
    assert set(stage.mover.statuses) == {200}
