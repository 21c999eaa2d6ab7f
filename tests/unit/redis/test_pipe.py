"""The pipe: answers are matched in their order, however they are cut and however late they come."""

import asyncio
from typing import Any

import pytest
from redis.exceptions import BusyLoadingError, InvalidResponse, NoScriptError
from redis.exceptions import ConnectionError as NoConnection

from app.redis.pipe import Pipe, pack_command
from tests.support.taken_connection import Transport, make_connection

TIMEOUT_SECONDS = 1.0


class World:
    """A pipe, and what its commands got: one list of answers or one error each."""

    def __init__(self) -> None:
        self.transport = Transport()
        self.pipe = Pipe(None, make_connection(self.transport), TIMEOUT_SECONDS)
        self.got: dict[str, Any] = {}

    def send(self, word: str, count: int = 1) -> None:
        def take(answers: list[Any] | Exception) -> None:
            assert word not in self.got
            self.got[word] = answers

        self.pipe.send(pack_command("ECHO", word) * count, count, take)

    def failures(self) -> dict[str, type]:
        return {word: type(answers) for word, answers in self.got.items()}


@pytest.fixture
async def world() -> World:
    return World()


async def test_commands_are_written_as_they_come_and_answered_in_their_order(world: World) -> None:
    world.send("a")
    world.send("b", 2)
    assert world.transport.written == b"*2\r\n$4\r\nECHO\r\n$1\r\na\r\n" + b"*2\r\n$4\r\nECHO\r\n$1\r\nb\r\n" * 2
    world.pipe.data_received(b"$1\r\na\r\n:1\r\n:2\r\n")
    assert world.got == {"a": [b"a"], "b": [1, 2]}


async def test_an_answer_may_come_byte_by_byte(world: World) -> None:
    world.send("a")
    world.send("b")
    for byte in b"*2\r\n$3\r\na\r\n\r\n*0\r\n$2\r\n\r\n\r\n":
        world.pipe.data_received(bytes([byte]))
    assert world.got == {"a": [[b"a\r\n", []]], "b": [b"\r\n"]}


async def test_a_refusal_is_one_commands_alone(world: World) -> None:
    world.send("a", 2)
    world.pipe.data_received(b"-NOSCRIPT no\r\n:2\r\n")
    refusal, answer = world.got["a"]
    assert (type(refusal), answer, world.pipe.is_open) == (NoScriptError, 2, True)


async def test_a_late_answer_is_given_to_nobody_and_the_next_one_to_whom_it_belongs(world: World) -> None:
    world.send("late")
    await asyncio.sleep(1.3 * TIMEOUT_SECONDS)
    assert world.failures() == {"late": TimeoutError}
    world.send("next")
    world.pipe.data_received(b"$4\r\nlate\r\n$4\r\nnext\r\n")
    assert world.got["next"] == [b"next"]
    assert world.pipe.is_open


async def test_only_those_who_waited_too_long_are_abandoned(world: World) -> None:
    world.send("old")
    await asyncio.sleep(0.9 * TIMEOUT_SECONDS)
    assert world.got == {}
    world.send("young")
    await asyncio.sleep(0.5 * TIMEOUT_SECONDS)
    assert world.failures() == {"old": TimeoutError}
    await asyncio.sleep(0.9 * TIMEOUT_SECONDS)
    assert world.failures() == {"old": TimeoutError, "young": TimeoutError}


async def test_a_pipe_that_answers_nothing_for_twice_the_time_is_closed_and_fails_all(world: World) -> None:
    world.send("old")
    await asyncio.sleep(1.9 * TIMEOUT_SECONDS)
    world.send("young")
    assert world.pipe.is_open
    await asyncio.sleep(0.5 * TIMEOUT_SECONDS)
    assert not world.pipe.is_open
    assert world.failures() == {"old": TimeoutError, "young": TimeoutError}


async def test_time_is_only_measured_while_somebody_waits(world: World) -> None:
    world.send("a")
    world.pipe.data_received(b":1\r\n")
    await asyncio.sleep(10 * TIMEOUT_SECONDS)
    world.send("b")
    world.pipe.data_received(b":2\r\n")
    assert (world.got, world.pipe.is_open) == ({"a": [1], "b": [2]}, True)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", InvalidResponse),
        (b"-LOADING Redis is loading the dataset in memory\r\n", BusyLoadingError),
    ],
)
async def test_what_is_no_answer_closes_the_pipe_and_fails_all(world: World, data: bytes, error: type) -> None:
    world.send("a")
    world.send("b")
    world.pipe.data_received(data)
    assert world.failures() == {"a": error, "b": error}
    assert not world.pipe.is_open


async def test_an_answer_too_many_closes_the_pipe(world: World) -> None:
    world.send("a")
    world.pipe.data_received(b":1\r\n:2\r\n")
    assert world.got == {"a": [1]}
    assert not world.pipe.is_open


async def test_what_waits_is_bounded_and_what_is_too_much_fails_alone(world: World) -> None:
    words = [str(number) for number in range(1001)]
    for word in words:
        world.send(word)
    assert world.failures() == {"1000": TimeoutError}
    assert world.transport.written.count(b"ECHO") == 1000
    world.pipe.data_received(b":1\r\n")
    world.send("again")
    assert world.pipe.is_open
    assert "again" not in world.got


async def test_a_lost_connection_fails_all_and_redis_py_hears_of_it(world: World) -> None:
    world.send("a")
    world.pipe.connection_lost(None)
    assert world.failures() == {"a": NoConnection}
    assert world.transport.lost == [None]


async def test_draining_waits_for_what_was_sent_before_however_that_ends(world: World) -> None:
    world.send("a")
    draining = asyncio.create_task(world.pipe.drain())
    await asyncio.sleep(0)
    world.pipe.data_received(b":1\r\n")
    assert not draining.done()
    world.pipe.connection_lost(None)
    await draining
