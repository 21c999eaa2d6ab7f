"""A portfolio over real replicas gets whole as fast as the budget allows, also when the replica that sweeps is killed."""

import os
import signal
from pathlib import Path
from typing import Any

from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.fleet.conftest import most_above, run_fleet
from tests.support.gateway import TOKEN, Gateway
from tests.support.polling import ask_until

COUNT = 300
RATE = 50
PATH = "/v1/portfolio/merchants"


async def ask(gateway: Gateway) -> dict[str, Any]:
    body: dict[str, Any] = (await gateway.get(PATH)).json()
    return body


def is_whole(body: dict[str, Any]) -> bool:
    return bool(body["complete"])


async def test_a_portfolio_gets_whole_at_every_replica_and_stays_so(valkey: EmbeddedValkey, tmp_path: Path) -> None:
    async with (
        Sandbox(merchants=COUNT, token=TOKEN) as upstream,
        run_fleet(upstream, tmp_path, valkey.url, upstream_rate=RATE) as gateways,
    ):
        assert not is_whole(await ask(gateways[0]))
        await ask_until(lambda: ask(gateways[1]), is_whole)
        assert COUNT <= upstream.counters.balance_calls <= 1.25 * COUNT
        for gateway in gateways:
            body = await ask(gateway)
            assert (is_whole(body), body["sweep"]["secondsToWhole"]) == (True, 0)
        assert most_above(upstream.counters.arrivals, RATE) <= RATE + 1


async def test_another_replica_goes_on_when_the_one_that_sweeps_is_killed(
    valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    async with (
        Sandbox(merchants=COUNT, token=TOKEN) as upstream,
        run_fleet(upstream, tmp_path, valkey.url, upstream_rate=RATE) as (first, *others),
    ):
        await ask(first)
        await upstream.calls(COUNT // 3)
        os.kill(first.named("server.started")[0]["pid"], signal.SIGKILL)
        await ask_until(lambda: ask(others[0]), is_whole)
        assert upstream.counters.balance_calls <= 1.25 * COUNT
