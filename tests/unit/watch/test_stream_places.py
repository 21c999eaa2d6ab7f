"""Places of streams: how many a process and a caller have by default."""

import pytest

from app.access.callers import Caller, hash_key
from app.errors import TooManyStreams
from app.settings.sections import HttpSettings
from tests.support.live import run_live
from tests.support.replica import Upstream


@pytest.mark.parametrize(("chance", "seconds"), [(0, 1), (0.5, 6), (0.999, 10)])
async def test_by_default_a_process_has_250_streams_and_a_caller_20_and_who_asks_for_more_waits_by_chance(
    upstream: Upstream, chance: float, seconds: int
) -> None:
    callers = [Caller(f"c{number}", hash_key(f"c{number}"), "all") for number in range(13)]
    async with run_live(upstream, callers=callers, streams=HttpSettings().streams) as (live,):
        live.chance = chance
        for number in range(250):
            live.streams.acquire(callers[number // 20])
            if number % 20 == 19:
                with pytest.raises(TooManyStreams) as of_caller:
                    live.streams.acquire(callers[number // 20])
                assert of_caller.value.retry_after_seconds == seconds
        with pytest.raises(TooManyStreams) as of_process:
            live.streams.acquire(callers[12])
        assert of_process.value.retry_after_seconds == seconds
