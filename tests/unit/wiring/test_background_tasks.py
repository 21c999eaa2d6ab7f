"""What lives on the heart does its work there: nobody else would notice for a long time that it does not."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from structlog.testing import capture_logs

from app.balances.amounts import Amount
from app.errors import TokenRefused, Unreachable
from app.resilience.supervision import supervised
from app.secret import Secret
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.telemetry.traces import Traces
from app.upstream.envelope import UpstreamResponse
from app.upstream.transport import SecretHeader, Transport
from app.wiring.cache import Heart, build_policy, make_heart
from tests.support.amounts import make_row, make_snapshot


class _Nobody(Transport):
    """Count what it is asked, and reach nobody."""

    def __init__(self) -> None:
        self.asked = 0

    async def get(self, path: str, params: Mapping[str, str], shown: SecretHeader) -> UpstreamResponse:
        self.asked += 1
        raise Unreachable("There is nobody.")


def _make(transport: Transport, folder: Path) -> Heart:
    """Make a heart without a Redis or an upstream."""
    settings = Settings(
        upstream_url="http://127.0.0.1:9",
        upstream_token=Secret("canary-token-3d1f"),
        redis_url=Secret(f"unix://{folder}/none"),
        clients_file="",
    )
    return make_heart(settings, build_policy(settings), transport, Metrics(), Traces())


async def test_a_token_that_is_refused_is_tried_now_and_then_although_nobody_asks(tmp_path: Path) -> None:
    transport = _Nobody()
    heart = _make(transport, tmp_path)
    heart.tokens.mark_refused(heart.tokens.current, TokenRefused("It has expired."))
    async with supervised(budget=heart.works["budget"], probe=heart.works["probe"]):
        await asyncio.sleep(100)
    await heart.redis_client.close()
    assert transport.asked


async def test_totals_that_drifted_are_corrected_although_nobody_asks(tmp_path: Path) -> None:
    heart = _make(_Nobody(), tmp_path)
    heart.portfolio._running_totals._totals.add(make_snapshot("1", [make_row("BTC", Amount("1"))]))
    with capture_logs() as logs:
        async with supervised(totals=heart.works["totals"]):
            await asyncio.sleep(301)
    await heart.redis_client.close()
    assert [line["event"] for line in logs] == ["totals.drifted"]
