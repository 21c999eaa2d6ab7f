"""Every alert fires when its cause is there, and none when all is well: real scrapes, at times that are given."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from fakeredis import FakeServer

from app.access.callers import Caller, hash_key
from app.access.validity import Validity
from app.balances.snapshots import AGGREGATE
from app.moved.chases import Chases
from app.moved.notices import Notices
from app.redis.client import RedisClient, RedisFailure
from app.redis.connections import connect
from app.redis.embedded import EmbeddedValkey
from app.redis.results import read_integer
from app.resilience.circuit_breaker import CircuitBreaker
from app.runtime import Runtime
from app.secret import Secret
from app.telemetry.exposition import Exposition
from app.telemetry.log_writer import LogWriter
from app.telemetry.metrics import Metrics
from sandbox import Sandbox
from tests.support.alerts import alerts, dashboard_expressions
from tests.support.gateway import PATIENCE_SECONDS, free_port, run_gateway
from tests.support.polling import ask_until
from tests.support.promql import Scrapes, names_in
from tests.support.reconciling import reconcile
from tests.support.replica import KEY, Upstream, run_replicas
from tests.support.rows import row
from tests.support.seeded_redis import publish, store, store_directory
from tests.support.service import Service, run_service
from tests.support.valkey import run_valkey
from tests.support.virtual_time import VirtualLoop, virtual_runtime

STEP_SECONDS = 60
STEPS = 10
EVENT_KEYS = str(Path(__file__).parents[1] / "support/event_keys.txt")
PATH = "/v1/merchants/12345/balances"

Does = Callable[[Service], Awaitable[None]]


async def ask(service: Service) -> None:
    """Insist on answers of the upstream."""
    for _ in range(3):
        await service.get(PATH, Cache_Control="no-cache")


async def request_stale(service: Service) -> None:
    """Ask for what has been known for three minutes."""
    await store(service, 777, age_seconds=200)
    for _ in range(3):
        assert (await service.get("/v1/merchants/777/balances")).status_code == 200


async def disagree(service: Service) -> None:
    """Reconcile with an aggregate that has more than the merchants, until it is found: a slow part leaves it open."""
    service.upstream.world.disturb("USDT", Decimal(1))
    await ask_until(lambda: reconcile(service), lambda job: "mismatch" in job.get("verdicts", ()))


async def fail_to_reconcile(service: Service) -> None:
    """Wait until nothing has come of any reconciliation for longer than it may take."""
    await ask_until(lambda: scrape(service), lambda scraped: "\ntallygate_reconciliation_overdue 0" not in scraped)


async def receive_a_later_entry(service: Service) -> None:
    """Hear what another replica has fetched a minute from now."""
    before = await scrape(service)
    await publish(service, 777, age_seconds=-60)
    counted = "tallygate_clock_doubts_total"
    await ask_until(lambda: scrape(service), lambda now: _lines(now, counted) != _lines(before, counted))


async def lose_the_directory(service: Service) -> None:
    """Ask who the merchants are when the list that there is has not been read again for an hour, and cannot be."""
    service.upstream.add_fault("code", code=-4010, paths=["/v2/merchants"])
    await store_directory(service, [12345], age_seconds=3600)
    assert (await service.get("/v1/merchants")).status_code == 200


async def change_too_much(service: Service) -> None:
    """Let so much change that the oldest changes are dropped before their time, until the service has seen that."""
    for number in range(10):
        service.upstream.world.set(777, [row(str(number))])
        await service.get("/v1/merchants/777/balances", Cache_Control="no-cache")
    await ask_until(lambda: scrape(service), lambda scraped: "\ntallygate_history_cut_short 1" in scraped)


async def open_a_stream(service: Service) -> None:
    """Open a stream where there may be none."""
    assert (await service.get("/v1/watch?merchantId=12345")).status_code == 429


async def forge_an_event(service: Service) -> None:
    """Send an event without a signature."""
    assert (await service.anonymous.post("/v1/upstream/events", content=b"{}")).status_code in {401, 429}


async def miss_the_clients(service: Service) -> None:
    """Wait until the service has seen that its clients file is gone."""
    await ask_until(lambda: scrape(service), lambda scraped: "\ntallygate_clients_file_ok 1" not in scraped)


@dataclass(frozen=True)
class Cause:
    """What brings an alert about: a fault of the upstream, settings, and what is done before each scrape.

    For `busy_seconds` the event loop has no time, once: a late beat is remembered for fifteen.
    """

    does: Does = ask
    fault: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    busy_seconds: float = 0
    steps: int = STEPS


MINTING = {
    "upstream_token": None,
    "upstream_api_key": Secret("sandbox-api-key"),
    "upstream_api_secret": Secret("sandbox-api-secret"),
}

CAUSES = [
    ("TallygateUpstreamFailing", Cause(fault="status", fields={"status": 500})),
    ("TallygateTokenRefused", Cause(fault="token-expired")),
    ("TallygateTokenExpires", Cause(settings=MINTING)),
    ("TallygateAnswersOld", Cause(request_stale, "status", {"status": 500})),
    ("TallygateErrors", Cause(fault="status", fields={"status": 500})),
    ("TallygateBudgetSpent", Cause(settings={"upstream_rate": 0.01, "upstream_burst": 1})),
    ("TallygateClocksDiffer", Cause(receive_a_later_entry, steps=4)),
    ("TallygateContractDrift", Cause(fault="unknown-field")),
    ("TallygateContractDrift", Cause(fault="malformed")),
    ("TallygateOddBalances", Cause(fault="total-mismatch")),
    ("TallygateSaturated", Cause(busy_seconds=1.4, steps=4)),
    ("TallygateReconciliationMismatch", Cause(disagree, steps=2)),
    (
        "TallygateReconciliationOverdue",
        Cause(fail_to_reconcile, "status", {"status": 500}, {"reconcile_every_seconds": 0.1}, steps=2),
    ),
    ("TallygateDirectoryOld", Cause(lose_the_directory, steps=3)),
    (
        "TallygateSweepStarved",
        Cause(settings={"portfolio_demand_seconds": "always", "portfolio_stale_seconds": 0.001}),
    ),
    ("TallygateStreamsFull", Cause(open_a_stream, settings={"streams": 0}, steps=5)),
    ("TallygateHistoryShort", Cause(change_too_much, settings={"history_bytes": 1_000}, steps=3)),
    (
        "TallygateKeyExpires",
        Cause(settings={"more": [Caller("left", hash_key("left"), "all", validity=Validity(until=1))]}, steps=3),
    ),
    ("TallygateEventsForged", Cause(forge_an_event, settings={"upstream_event_keys_file": EVENT_KEYS})),
    ("TallygateClientsFileBroken", Cause(miss_the_clients, settings={"clients_file": "/gone/clients.toml"}, steps=3)),
]
OUTAGES = ("TallygateRedisAway", "TallygateBusDeaf")
REFUSALS = "TallygateRedisRefuses"
NONSENSE = "TallygateRedisUnusable"
DEATHS = "TallygateWorkersDie"
LOSSES = "TallygateLogLost"
LATENESS = "TallygateWatchedOld"
SILENCE = "TallygateDown"
KEYS = "TallygateEventKeysBroken"
CHASES = "TallygateChasesFindNothing"


async def scrape(service: Service) -> str:
    """Give what Prometheus would get."""
    return (await service.anonymous.get("/metrics")).text


def _lines(scraped: str, metric: str) -> list[str]:
    return [line for line in scraped.splitlines() if line.startswith(metric)]


async def watch(service: Service, does: Does, steps: int = STEPS, begins: Callable[[], object] = list) -> Scrapes:
    """Scrape, let something begin, then do something and scrape in turn."""
    scrapes = Scrapes()
    scrapes.add(0, await scrape(service))
    begins()
    for step in range(1, steps):
        await does(service)
        scrapes.add(step * STEP_SECONDS, await scrape(service))
    return scrapes


def test_every_alert_is_fired_here() -> None:
    assert {name for name, _ in CAUSES} | {
        *OUTAGES,
        REFUSALS,
        NONSENSE,
        DEATHS,
        LOSSES,
        LATENESS,
        SILENCE,
        KEYS,
        CHASES,
    } == alerts().keys()


@pytest.mark.parametrize(("name", "cause"), CAUSES, ids=[f"{name}-{cause.fault}" for name, cause in CAUSES])
async def test_an_alert_fires_when_its_cause_is_there(name: str, cause: Cause, valkey: EmbeddedValkey) -> None:
    def begin() -> None:
        if cause.fault is not None:
            upstream.add_fault(cause.fault, **cause.fields)
        time.sleep(cause.busy_seconds)

    async with (
        Sandbox(scenario="document", token="canary-token-3d1f", token_lifetime_seconds=200) as upstream,
        run_service(upstream, valkey.url, **cause.settings) as service,
    ):
        scrapes = await watch(service, cause.does, cause.steps, begin)
    assert alerts()[name].fires(scrapes)


@pytest.mark.parametrize("name", OUTAGES)
async def test_an_alert_fires_when_redis_is_gone(name: str, upstream: Sandbox, tmp_path: Path) -> None:
    async with run_valkey() as redis, run_service(upstream, redis.url) as service:
        scrapes = Scrapes()
        scrapes.add(0, await scrape(service))
        await redis.kill()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while "\ntallygate_bus_connected 1" in await scrape(service):
                await ask(service)
        for step in range(1, 5):
            await ask(service)
            scrapes.add(step * STEP_SECONDS, await scrape(service))
    assert alerts()[name].fires(scrapes)


async def test_an_alert_fires_when_redis_refuses_commands(upstream: Sandbox) -> None:
    async with (
        run_valkey(port=free_port()) as redis,
        run_service(upstream, redis.url, stale_while_revalidate_seconds=0) as service,
    ):
        await redis.ask("CONFIG", "SET", "min-replicas-to-write", "1")
        scrapes = await watch(service, ask, steps=4)
        assert alerts()[REFUSALS].fires(scrapes)
        await redis.ask("CONFIG", "SET", "min-replicas-to-write", "0")  # and nobody asks for balances any more
        accepted = "\ntallygate_redis_accepts_writes 1"
        await ask_until(lambda: scrape(service), lambda scraped: accepted in scraped)


async def test_an_alert_fires_when_redis_answers_in_the_wrong_form() -> None:
    runtime, scrapes = Runtime(), Scrapes()
    breaker = CircuitBreaker(runtime, threshold=3, first_pause_seconds=1, longest_pause_seconds=1)
    client = RedisClient(lambda: connect("redis://127.0.0.1:1", 1), breaker=breaker, timeout_seconds=1, runtime=runtime)
    for step in range(STEPS):
        scrapes.add(step * STEP_SECONDS, Exposition(runtime.metrics).page("").body.decode())
        assert client.classify(b"OK", read_integer) is RedisFailure.UNAVAILABLE
    await client.close()
    assert alerts()[NONSENSE].fires(scrapes)


async def test_an_alert_fires_when_a_worker_dies(upstream: Sandbox, valkey: EmbeddedValkey, tmp_path: Path) -> None:
    async with run_gateway(upstream, tmp_path, redis_url=valkey.url) as gateway:
        scrapes = Scrapes()
        for step in range(2):
            scrapes.add(step * STEP_SECONDS, (await gateway.get("/metrics")).text)
        os.kill(gateway.named("server.started")[0]["pid"], signal.SIGKILL)
        await gateway.logged("server.started", 2)
        scrapes.add(2 * STEP_SECONDS, (await gateway.get("/metrics")).text)
    assert alerts()[DEATHS].fires(scrapes)


def test_an_alert_fires_when_log_lines_are_lost() -> None:
    exposition, scrapes = Exposition(Metrics("1")), Scrapes()
    scrapes.add(0, exposition.page("").body.decode())
    output = os.open("/dev/full", os.O_WRONLY)
    writer = LogWriter(output, str)
    writer.count_losses(lambda lines: exposition.metrics.log_lines_lost.add(amount=lines))
    writer.write("lost")
    writer.close()
    os.close(output)
    for step in range(1, 3):
        scrapes.add(step * STEP_SECONDS, exposition.page("").body.decode())
    assert alerts()[LOSSES].fires(scrapes)


async def test_an_alert_fires_when_the_event_keys_are_gone(
    upstream: Sandbox, valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    file = tmp_path / "event-keys"
    file.symlink_to(EVENT_KEYS)

    async def miss(service: Service) -> None:
        await ask_until(lambda: scrape(service), lambda scraped: "\ntallygate_event_keys_ok 1" not in scraped)

    async with run_service(upstream, valkey.url, upstream_event_keys_file=str(file)) as service:
        scrapes = await watch(service, miss, 3, file.unlink)
    assert alerts()[KEYS].fires(scrapes)


@pytest.mark.parametrize("finds", [False, True])
def test_an_alert_fires_when_chases_find_nothing(finds: bool) -> None:
    scrapes, upstream, exposition = Scrapes(), Upstream(), Exposition(Metrics("1"))

    async def chase() -> None:
        upstream.amounts = {} if finds else {KEY: "1", AGGREGATE: "1"}
        async with run_replicas(upstream, FakeServer(), 1) as (replica,):
            runtime = virtual_runtime(metrics=exposition.metrics)
            notices = Notices(replica.fleet.moves, Chases(replica.parts, replica.shared, runtime))
            for step in range(40):
                scrapes.add(step * STEP_SECONDS, exposition.page("").body.decode())
                await notices.take([KEY])
                await asyncio.sleep(STEP_SECONDS)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(chase())
    assert alerts()[CHASES].fires(scrapes) is not finds


@pytest.mark.parametrize(("late", "fires"), [(1, False), (2, True)])
def test_an_alert_fires_when_watched_balances_get_too_old(late: int, fires: bool) -> None:
    exposition, scrapes = Exposition(Metrics("1")), Scrapes()
    for step in range(STEPS):
        for number in range(12):
            exposition.metrics.watch.ages.add("exceeded" if number < late else "kept")
        scrapes.add(step * STEP_SECONDS, exposition.page("").body.decode())
    assert alerts()[LATENESS].fires(scrapes) is fires


async def test_an_alert_fires_when_nothing_can_be_scraped_any_more(service: Service) -> None:
    scrapes = await watch(service, ask, steps=2)
    assert not alerts()[SILENCE].fires(scrapes)
    for step in (2, 3):
        scrapes.add(step * STEP_SECONDS, "")  # one that fails leaves nothing
    assert alerts()[SILENCE].fires(scrapes)


async def test_no_alert_fires_when_all_is_well(service: Service) -> None:
    scrapes = await watch(service, ask)
    firing = {name for name, alert in alerts().items() if alert.fires(scrapes)}
    assert firing <= {"TallygateSaturated"}  # which may be the truth about the machine that runs the tests


async def test_rules_and_dashboard_name_metrics_that_are_in_a_scrape(service: Service) -> None:
    text = await scrape(service)
    there = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")}
    expressions = [*(alert.expression for alert in alerts().values()), *dashboard_expressions()]
    named = {name.removesuffix("_bucket") for expression in expressions for name in names_in(expression)}
    assert named - there == set()
