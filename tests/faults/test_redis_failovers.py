"""One endpoint leads to another server after a failover, while connections to the old one stay open."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from sandbox import Sandbox
from tests.support.gateway import PATIENCE_SECONDS, free_port
from tests.support.odd_redis import run_odd_redis
from tests.support.polling import ask_until
from tests.support.relay import Relay, run_relay
from tests.support.service import Service, run_service
from tests.support.valkey import Valkey, entries_in, run_valkey

SETTINGS: dict[str, Any] = {"redis_timeout_seconds": 1, "fresh_seconds": 0, "stale_while_revalidate_seconds": 0}


@asynccontextmanager
async def run_pair() -> AsyncIterator[tuple[Valkey, Valkey, Relay]]:
    """Run a primary, its replica, and the endpoint that leads to the primary."""
    async with run_valkey(port=free_port()) as primary, run_valkey(port=free_port()) as replica:
        await replica.ask("REPLICAOF", "127.0.0.1", str(primary.port))
        async with run_relay(primary.port) as relay:
            yield primary, replica, relay


async def fail_over(primary: Valkey, replica: Valkey, relay: Relay) -> None:
    """Promote the replica, let the name lead to it, and demote the primary, which goes on."""
    await replica.ask("REPLICAOF", "NO", "ONE")
    relay.port = replica.port
    await primary.ask("REPLICAOF", "127.0.0.1", str(replica.port))


async def read(service: Service) -> None:
    merchants = service.upstream.world.merchant_ids[:5]
    answers = await asyncio.gather(*(service.get(f"/v1/merchants/{merchant}/balances") for merchant in merchants))
    assert {answer.status_code for answer in answers} == {200}


async def gauge(service: Service, name: str) -> float:
    lines = (await service.anonymous.get("/metrics")).text.splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(name))


@pytest.mark.parametrize("plain", [False, True])
async def test_after_a_failover_the_new_primary_is_used_though_the_old_connections_stay_open(
    shared_upstream: Sandbox, plain: bool
) -> None:
    async with run_pair() as (primary, replica, relay):
        url = f"redis://{relay.address}"
        async with run_service(shared_upstream, url, plain=plain, **SETTINGS) as service, Redis.from_url(url):
            await read(service)
            with capture_logs() as logs:
                await fail_over(primary, replica, relay)
                async with replica.client() as promoted:
                    await promoted.flushall()
                    await asyncio.wait_for(_read_until_stored(service, promoted), PATIENCE_SECONDS)
                    channels = await ask_until(promoted.pubsub_channels, bool)
                await ask_until(lambda: gauge(service, "tallygate_redis_accepts_writes"), bool)
            assert len(channels) == 1
            refusals = [(line["event"], line.get("code")) for line in logs if line["event"].startswith("redis.")]
            assert refusals == [("redis.refuses", "READONLY"), ("redis.accepts", None)]


async def _read_until_stored(service: Service, promoted: Redis) -> None:
    while len(await entries_in(promoted)) < 5:
        await read(service)


@pytest.mark.parametrize("code", ["READONLY", "MISCONF", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "NOREPLICAS", "OOM"])
@pytest.mark.parametrize("form", ["-%s odd\r\n", "*1\r\n-%s odd\r\n", "-ERR Error running script: -%s odd\r\n"])
async def test_a_state_of_the_server_in_any_form_closes_the_connections(
    shared_upstream: Sandbox, code: str, form: str
) -> None:
    async with (
        run_valkey() as old,
        run_valkey(port=free_port()) as new,
        run_odd_redis(old) as odd,
        run_relay(int(odd.url.rpartition(":")[2])) as relay,
        run_service(shared_upstream, f"redis://{relay.address}", **SETTINGS) as service,
    ):
        await read(service)
        answer = (form % code).encode()
        odd.replace = lambda name: answer if name.startswith(("STORE", "READ")) else None
        relay.port = new.port
        async with new.client() as promoted:
            await asyncio.wait_for(_read_until_stored(service, promoted), PATIENCE_SECONDS)
