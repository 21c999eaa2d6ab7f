"""Every alert fires when its cause is there, and none when all is well: real scrapes, at times that are given."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from app.cache.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.alerts import alerts, dashboard_expressions
from tests.support.promql import Scrapes, names_in
from tests.support.service import Service, run_service
from tests.support.stored import store

STEP_SECONDS = 60
STEPS = 10
PATH = "/v1/merchants/12345/balances"


async def ask(service: Service) -> None:
    """Insist on answers of the upstream."""
    for _ in range(3):
        await service.get(PATH, Cache_Control="no-cache")


async def ask_for_old(service: Service) -> None:
    """Ask for what is known since three minutes."""
    await store(service, 777, age_seconds=200)
    for _ in range(3):
        assert (await service.get("/v1/merchants/777/balances")).status_code == 200


async def keep_busy(_service: Service) -> None:
    """Leave the event loop no time for longer than one beat of its pulse."""
    end = time.monotonic() + 1.4
    while time.monotonic() < end:
        pass
    for _ in range(3):
        await asyncio.sleep(0)  # the late beat


@dataclass(frozen=True)
class Cause:
    """What brings an alert about: faults of the upstream, settings, and what is done before each scrape."""

    does: Callable[[Service], Awaitable[None]] = ask
    fault: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    steps: int = STEPS


CAUSES = {
    "TallygateAnswersOld": Cause(ask_for_old, "status", {"status": 500}),
    "TallygateErrors": Cause(ask, "status", {"status": 500}),
    "TallygateSaturated": Cause(keep_busy, steps=3),
}


async def watch(service: Service, does: Callable[[Service], Awaitable[None]], steps: int = STEPS) -> Scrapes:
    """Do something and scrape, in turn."""
    scrapes = Scrapes()
    for step in range(steps):
        await does(service)
        scrapes.add(step * STEP_SECONDS, (await service.anonymous.get("/metrics")).text)
    return scrapes


@pytest.mark.parametrize("name", CAUSES)
async def test_an_alert_fires_when_its_cause_is_there(name: str, upstream: Sandbox, valkey: EmbeddedValkey) -> None:
    cause = CAUSES[name]
    async with run_service(upstream, valkey.url, **cause.settings) as service:
        if cause.fault is not None:
            upstream.add_fault(cause.fault, **cause.fields)
        scrapes = await watch(service, cause.does, cause.steps)
    assert alerts()[name].fires(scrapes)


async def test_no_alert_fires_when_all_is_well(service: Service) -> None:
    scrapes = await watch(service, ask)
    assert [name for name, alert in alerts().items() if alert.fires(scrapes)] == []


async def test_rules_and_dashboard_name_metrics_that_are_in_a_scrape(service: Service) -> None:
    text = (await service.anonymous.get("/metrics")).text
    there = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")}
    expressions = [*(alert.expression for alert in alerts().values()), *dashboard_expressions()]
    named = {name.removesuffix("_bucket") for expression in expressions for name in names_in(expression)}
    assert named - there == set()
