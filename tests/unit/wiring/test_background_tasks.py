"""What runs as long as the service does its work there: nobody else would notice for a long time that it does not."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from fakeredis import FakeServer
from structlog.testing import capture_logs

from app.balances.amounts import Amount
from app.budget.fleet_budget import FleetBudget, build_budget
from app.errors import TokenRefused, Unreachable
from app.portfolio.running_totals import RunningTotals
from app.redis.shared import Shared
from app.resilience.supervision import running, supervised
from app.runtime import Runtime
from app.secret import Secret
from app.settings.sections import DirectorySettings
from app.upstream.envelope import UpstreamResponse
from app.upstream.transport import SecretHeader, Transport
from app.wiring.cache_options import budget_options
from app.wiring.portfolio import build_portfolio
from app.wiring.redis import build_redis
from app.wiring.upstream import Upstream, build_upstream, coordinate
from tests.support.amounts import make_row, make_snapshot
from tests.support.replica import Replica
from tests.support.replica import Upstream as NoUpstream
from tests.support.settings import make_settings


class _Nobody(Transport):
    """Count what it is asked, and reach nobody."""

    def __init__(self) -> None:
        self.asked = 0

    async def get(self, path: str, params: Mapping[str, str], shown: SecretHeader) -> UpstreamResponse:
        self.asked += 1
        raise Unreachable("There is nobody.")


def _make(transport: Transport, folder: Path) -> tuple[Shared, FleetBudget, Upstream]:
    """Build the way to an upstream without a Redis or an upstream."""
    settings = make_settings(
        upstream_url="http://127.0.0.1:9",
        upstream_token=Secret("canary-token-3d1f"),
        redis_url=Secret(f"unix://{folder}/none"),
        clients_file="",
    )
    runtime = Runtime()
    shared = build_redis(settings.redis, settings.upstream.url, runtime, plain=False)
    budget = build_budget(shared, budget_options(settings), runtime)
    return shared, budget, build_upstream(settings.upstream, transport, coordinate(shared, budget), runtime)


async def test_a_token_that_is_refused_is_tried_now_and_then_although_nobody_asks(tmp_path: Path) -> None:
    transport = _Nobody()
    shared, budget, upstream = _make(transport, tmp_path)
    upstream.tokens.mark_refused(upstream.tokens.current, TokenRefused("It has expired."))
    async with running([shared, budget, upstream]):
        await asyncio.sleep(100)
    assert transport.asked


async def test_totals_that_drifted_are_corrected_although_nobody_asks(server: FakeServer, tmp_path: Path) -> None:
    shared, _, upstream = _make(_Nobody(), tmp_path)
    cache = Replica(NoUpstream(), server, "r").cache
    totals = RunningTotals()
    questions = build_portfolio(DirectorySettings(), shared, upstream, cache, totals, Runtime(), concurrency=1)
    totals._totals.add(make_snapshot("1", [make_row("BTC", Amount("1"))]))
    with capture_logs() as logs:
        async with supervised(totals=questions.tasks["totals"]):
            await asyncio.sleep(301)
    await shared.close()
    assert [line["event"] for line in logs] == ["totals.drifted"]
