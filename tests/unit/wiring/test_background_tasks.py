"""What runs as long as the service does its work there: nobody else would notice for a long time that it does not."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
from app.wiring.cache_options import budget_options, replica_options
from app.wiring.portfolio import build_directory, build_portfolio
from app.wiring.redis import build_redis
from app.wiring.sweep import build_known_reads, build_sweep, build_sweep_queue, build_sweep_sources
from app.wiring.upstream import Upstream, build_upstream, coordinate
from tests.support.amounts import make_row, make_snapshot
from tests.support.replica import Replica
from tests.support.replica import Upstream as NoUpstream
from tests.support.settings import make_settings
from tests.support.virtual_time import virtual_runtime

NEEDED: dict[str, Any] = {
    "upstream_url": "http://127.0.0.1:9",
    "upstream_token": Secret("canary-token-3d1f"),
    "clients_file": "",
}


class _Nobody(Transport):
    """Count what it is asked, and reach nobody."""

    def __init__(self) -> None:
        self.asked = 0

    async def get(self, path: str, params: Mapping[str, str], shown: SecretHeader) -> UpstreamResponse:
        self.asked += 1
        raise Unreachable("There is nobody.")


def _make(transport: Transport, folder: Path) -> tuple[Shared, FleetBudget, Upstream]:
    """Build the way to an upstream without a Redis or an upstream."""
    settings = make_settings(redis_url=Secret(f"unix://{folder}/none"), **NEEDED)
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
    replica = Replica(NoUpstream(), server, "r")
    totals, runtime, settings = RunningTotals(), virtual_runtime(), make_settings(**NEEDED)
    directory = build_directory(DirectorySettings(), shared, upstream, runtime)
    queue = build_sweep_queue(replica_options(settings).policy, runtime)
    sources = build_sweep_sources(directory, replica.parts, upstream)
    sweep = build_sweep(settings, queue, sources, shared, replica.fleet_budget, runtime)
    budget = replica.fleet_budget
    known_reads = build_known_reads(settings, sweep, replica.parts, budget, upstream.tokens, runtime)
    questions = build_portfolio(DirectorySettings(), shared, directory, known_reads, totals, runtime)
    totals._totals.add(make_snapshot("1", [make_row("BTC", Amount("1"))]))
    with capture_logs() as logs:
        async with supervised(totals=questions.tasks["totals"]):
            await asyncio.sleep(301)
    await shared.close()
    assert [line["event"] for line in logs] == ["totals.drifted"]
