"""The Python client watches a real gateway, which ends and comes back."""

import signal
from pathlib import Path

from tallygate_client import AsyncClient, Balances, Disconnected, FreshPart, Hello, Synced

from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.gateway import KEY, run_gateway


async def test_a_watch_outlives_its_gateway_and_has_the_newest_balances(valkey: EmbeddedValkey, tmp_path: Path) -> None:
    upstream = Sandbox(scenario="document", token="canary-token-3d1f")
    totals, kinds = list[object](), list[type]()
    async with upstream, run_gateway(upstream, tmp_path, redis_url=valkey.url) as gateway:
        port = int(gateway.url.rpartition(":")[2])
        async with AsyncClient(gateway.url, KEY) as client:
            events = client.watch([12345], within=5)
            async for event in events:
                kinds.append(type(event))
                match event:
                    case Balances(part=FreshPart(balances=rows)):
                        totals.append({row.asset_id: row.total for row in rows})
                    case Synced() if len(totals) == 1:
                        gateway.signal(signal.SIGTERM)
                        upstream.world.move(12345)
                    case Disconnected():
                        break
            assert await gateway.ended() == 0
            assert kinds == [Hello, Balances, Synced, Disconnected]
            async with run_gateway(upstream, tmp_path, redis_url=valkey.url, port=port):
                async for event in events:
                    if isinstance(event, Balances) and isinstance(event.part, FreshPart):
                        totals.append({row.asset_id: row.total for row in event.part.balances})
                    if len(totals) > 1 and totals[-1] != totals[0]:
                        break
    assert totals[-1] != totals[0]
