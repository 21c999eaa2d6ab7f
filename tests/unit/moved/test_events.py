"""Events: each counts once, however often its bytes come, and whatever else they hold."""

import asyncio
import json

import pytest
from fakeredis import FakeServer

from app.balances.snapshots import AGGREGATE
from app.moved.chases import Chases
from app.moved.event_keys import EventKeys
from app.moved.events import Events
from app.moved.notices import Notices
from app.telemetry.metrics import Metrics
from tests.support.event_signing import public_line
from tests.support.replica import KEY, Replica, directives
from tests.support.virtual_time import virtual_runtime
from tests.unit.moved.conftest import Bank

WEEK = 7 * 86_400


def events_of(replica: Replica) -> Events:
    async def read() -> str:
        return public_line()

    notices = Notices(replica.fleet.moves, Chases(replica.parts, replica.shared, virtual_runtime()))
    return Events(EventKeys(public_line(), "keys", read), notices, replica.shared, Metrics())


def event(**fields: object) -> bytes:
    return json.dumps({"webhookId": "w1", "eventType": "FUNDING_WEBHOOK", "merchantId": int(KEY), **fields}).encode()


async def test_a_replay_that_goes_on_for_ever_costs_what_one_event_costs(replicas: list[Replica], bank: Bank) -> None:
    desks = [events_of(replica) for replica in replicas]
    for _ in range(3):
        for desk in desks:
            await desk.take(event())
        (name,) = await replicas[0].redis_client.client.keys("*event*")
        assert await replicas[0].redis_client.client.ttl(name) == WEEK
        await asyncio.sleep(70)
    assert bank.asked.count(KEY) == bank.asked.count(AGGREGATE) == 5


async def test_an_event_that_is_forgotten_counts_again(replicas: list[Replica], bank: Bank) -> None:
    one, two = replicas
    await events_of(one).take(event())
    await asyncio.sleep(70)
    await one.redis_client.client.flushall()
    await events_of(two).take(event())
    await asyncio.sleep(70)
    assert bank.asked.count(KEY) == 10


async def test_events_that_share_their_id_all_count(replicas: list[Replica], bank: Bank) -> None:
    one, _ = replicas
    desk = events_of(one)
    for number in range(2):
        await desk.take(event(order=number))
        await asyncio.sleep(70)
    assert bank.asked.count(KEY) == 10


async def test_a_replay_without_redis_has_no_effect_at_the_replica_that_knows_it(
    replicas: list[Replica], bank: Bank, server: FakeServer
) -> None:
    desk = events_of(replicas[0])
    server.connected = False
    await desk.take(event())
    await asyncio.sleep(70)
    await desk.take(event())
    await asyncio.sleep(70)
    server.connected = True
    assert bank.asked.count(KEY) == 5


@pytest.mark.parametrize(
    "merchant",
    ["12345,6", "0", "-1", "01", "\u0661\u0662", "1e3", " 12345", "", 2**53, 2**64, -5, 1.5, True, [12345], {}],
)
async def test_what_is_no_merchant_is_of_the_aggregate(replicas: list[Replica], bank: Bank, merchant: object) -> None:
    await events_of(replicas[0]).take(event(merchantId=merchant))
    await asyncio.sleep(1)
    assert bank.asked == [AGGREGATE]


@pytest.mark.parametrize("digits", [20, 5_000, 60_000])
async def test_a_long_number_is_no_merchant(replicas: list[Replica], bank: Bank, digits: int) -> None:
    await events_of(replicas[0]).take(b'{"merchantId":' + b"7" * digits + b"}")
    await asyncio.sleep(1)
    assert bank.asked == [AGGREGATE]


async def test_the_last_of_two_merchants_counts(replicas: list[Replica], bank: Bank) -> None:
    await events_of(replicas[0]).take(b'{"merchantId":1,"merchantId":"%b"}' % KEY.encode())
    await asyncio.sleep(1)
    assert sorted(bank.asked) == [AGGREGATE, KEY]


async def test_an_event_counts_for_what_is_kept(replicas: list[Replica], bank: Bank) -> None:
    one, _ = replicas
    await one.cache.read(KEY, directives())
    await events_of(one).take(event())
    assert one.cache.read_now(KEY, directives()) is None
