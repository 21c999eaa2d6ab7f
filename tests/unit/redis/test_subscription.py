"""The subscription: messages are passed on however they are cut, and silence, losses and crashes end it."""

import asyncio
from typing import Any

import pytest
from redis.exceptions import BusyLoadingError, InvalidResponse, NoPermissionError
from redis.exceptions import ConnectionError as NoConnection

from app.redis.subscription import Subscription
from tests.support.taken_connection import Transport, make_connection
from tests.support.virtual_time import monotonic

PING = b"*1\r\n$4\r\nPING\r\n"
PONG = b"*2\r\n$4\r\npong\r\n$0\r\n\r\n"
SUBSCRIBE = b"*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nc\r\n"
JOINED = b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"


def message(data: bytes) -> bytes:
    return b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$%d\r\n%b\r\n" % (len(data), data)


class World:
    """A subscription, and what it passed on."""

    def __init__(self) -> None:
        self.transport = Transport()
        self.joins = 0
        self.messages: list[bytes] = []
        self.subscription = Subscription(None, make_connection(self.transport), "c", self._join, self._take)

    def _join(self) -> None:
        self.joins += 1

    def _take(self, data: Any) -> None:
        if data == b"crash":
            raise RuntimeError(data)
        self.messages.append(data)


@pytest.fixture
async def world() -> World:
    return World()


async def test_it_subscribes_and_passes_on_what_it_hears_byte_by_byte(world: World) -> None:
    assert world.transport.written == SUBSCRIBE
    assert world.joins == 0
    for byte in JOINED + message(b"a\r\n") + PONG + message(b""):
        world.subscription.data_received(bytes([byte]))
    assert (world.joins, world.messages) == (1, [b"a\r\n", b""])


async def test_a_server_that_speaks_is_not_pinged_and_a_silent_one_is(world: World) -> None:
    listening = asyncio.create_task(world.subscription.listen(2))
    await asyncio.sleep(1)
    world.subscription.data_received(JOINED)
    await listening
    assert (monotonic(), world.transport.written) == (2, SUBSCRIBE)
    listening = asyncio.create_task(world.subscription.listen(2))
    await asyncio.sleep(3)
    assert world.transport.written == SUBSCRIBE + PING
    world.subscription.data_received(PONG)
    await listening
    assert not world.transport.aborted


async def test_a_server_that_answers_no_ping_is_lost(world: World) -> None:
    with pytest.raises(TimeoutError):
        await world.subscription.listen(2)
    assert (monotonic(), world.transport.aborted) == (4, True)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", InvalidResponse),
        (b"-LOADING Redis is loading the dataset in memory\r\n", BusyLoadingError),
        (b"-NOPERM no permission\r\n", NoPermissionError),
        (b"+OK\r\n", InvalidResponse),
        (b"*2\r\n$7\r\nmessage\r\n$1\r\nc\r\n", InvalidResponse),
        (message(b"crash"), RuntimeError),
    ],
)
async def test_what_no_subscription_has_ends_it_as_does_a_crash(world: World, data: bytes, error: type) -> None:
    listening = asyncio.create_task(world.subscription.listen(2))
    await asyncio.sleep(1)
    world.subscription.data_received(message(b"before") + data + message(b"after"))
    with pytest.raises(error):
        await listening
    assert (monotonic(), world.messages, world.transport.aborted) == (1, [b"before"], True)


async def test_a_lost_connection_ends_it_and_redis_py_hears_of_it(world: World) -> None:
    listening = asyncio.create_task(world.subscription.listen(2))
    await asyncio.sleep(1)
    world.subscription.connection_lost(None)
    with pytest.raises(NoConnection):
        await listening
    assert (monotonic(), world.transport.lost) == (1, [None])


async def test_listening_may_be_cancelled(world: World) -> None:
    listening = asyncio.create_task(world.subscription.listen(2))
    await asyncio.sleep(1)
    listening.cancel()
    await asyncio.wait([listening])
    assert listening.cancelled()
    assert not world.transport.aborted
