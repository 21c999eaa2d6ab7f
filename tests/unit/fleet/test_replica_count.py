import asyncio

from fakeredis import FakeServer
from fakeredis.aioredis import FakeRedis
from redis.asyncio.client import PubSub

from app.fleet.replica_count import ReplicaCount
from tests.support.replica import CHANNEL, make_shared


async def _listen(server: FakeServer, count: int) -> list[PubSub]:
    listeners = [FakeRedis(server=server).pubsub() for _ in range(count)]
    for listener in listeners:
        await listener.subscribe(CHANNEL)
    return listeners


async def test_those_who_listen_are_counted_and_some_are_surely_there() -> None:
    server = FakeServer()
    replica_count = ReplicaCount(make_shared(server), at_least=2)
    counting = asyncio.create_task(replica_count.keep_counting())
    await asyncio.sleep(1)
    assert replica_count.current == 2
    await _listen(server, 3)
    await asyncio.sleep(2)
    assert replica_count.current == 3
    counting.cancel()


async def test_a_few_low_counts_are_not_believed_and_many_are() -> None:
    server = FakeServer()
    replica_count = ReplicaCount(make_shared(server), at_least=1)
    _, *others = await _listen(server, 3)
    counting = asyncio.create_task(replica_count.keep_counting())
    await asyncio.sleep(1)
    for other in others:
        await other.unsubscribe(CHANNEL)
        await other.get_message()
    await asyncio.sleep(8)
    assert replica_count.current == 3
    await asyncio.sleep(2)
    assert replica_count.current == 1
    counting.cancel()
