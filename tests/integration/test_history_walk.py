"""The history against a known truth, on a real Valkey: a small part of what `bench.history` does."""

import pytest

from app.redis.embedded import EmbeddedValkey
from bench.history_walk import Walk, WalkOptions
from sandbox.scenarios import Scenario

LOOKS = 2_000


@pytest.mark.parametrize(("scenario", "clocks_err_ms"), [("restless", 450), ("returning", 0)])
async def test_no_claim_about_the_past_is_of_what_was_not_so(
    valkey: EmbeddedValkey, scenario: Scenario, clocks_err_ms: int
) -> None:
    walk = Walk(WalkOptions(redis_url=valkey.url, scenario=scenario, clocks_err_ms=clocks_err_ms, merchants=20))
    while walk.outcome.looks < LOOKS:
        for _ in range(10):
            await walk.look_around()
        await walk.ask(5, 10)
        await walk.compare_changes(2)
    await walk.close()
    assert not walk.outcome.wrong
    assert all(walk.outcome.claims[claim] > 50 for claim in ("seen", "between", "changes"))
