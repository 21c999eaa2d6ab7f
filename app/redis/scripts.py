"""Lua scripts as commands: alone, or many calls of one run by one command, as if each were alone."""

import asyncio
import hashlib
import os
from collections.abc import Callable, Sequence
from typing import Any, Final

from msgspec import Struct
from redis.exceptions import MovedError, NoScriptError, ResponseError

from app.redis import lua
from app.redis.commands import Word, is_one_server, send_command
from app.redis.connections import AnyRedis
from app.redis.results import WrongShape
from app.redis.timeouts import catching

_MARK_BYTES: Final = 8


class Script(Struct, frozen=True, eq=False):
    """A Lua script that one command can run many times. `writes` is whether each run writes.

    `read` reads the result of a run, and raises if it is none.
    """

    text: str
    sha: str
    read: Callable[[Any], Any]
    writes: bool


class SingleScript(Struct, frozen=True, eq=False):
    """A Lua script that runs alone."""

    text: str
    sha: str


class ScriptCall(Struct, frozen=True, gc=False):
    """One run of a script. All calls of a script have equally many keys and arguments."""

    script: Script
    keys: Sequence[str]
    arguments: Sequence[Any]


class ExtraArguments(Struct, frozen=True):
    """Keys and arguments that a script takes besides, if it does a second thing atomically with the first."""

    keys: Sequence[str]
    arguments: Sequence[Any]


def make_script(text: str, read: Callable[[Any], Any], *, writes: bool = False) -> Script:
    """Make a script that can be run many times by one command (`lua.BATCH`)."""
    whole = lua.BATCH % text
    return Script(whole, _digest(whole), read, writes)


def make_single(text: str) -> SingleScript:
    """Make a script that runs alone (`lua.SINGLE`)."""
    whole = lua.SINGLE % text
    return SingleScript(whole, _digest(whole))


def make_mark() -> bytes:
    """Make the mark of one command. A script returns it, which shows that an answer is the command's own."""
    return os.urandom(_MARK_BYTES)


async def run_single(client: AnyRedis, script: SingleScript, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
    """Run a script in one round trip, or in two if Redis does not know it yet.

    Raises what redis-py raises, and `WrongShape` if the answer is another command's.
    """
    mark = make_mark()
    words = [len(keys), *keys, *arguments, mark]
    try:
        answer = await send_command(client, ["EVALSHA", script.sha, *words])
    except NoScriptError:
        answer = await send_command(client, ["EVAL", script.text, *words])
    (result,) = split_answer(answer, 1, mark)
    return result


async def run_batch(client: AnyRedis, calls: Sequence[ScriptCall]) -> list[Any]:
    """Run scripts in one round trip (to each node of a cluster), or in two if Redis does not know one of them yet.

    Returns each result, or the error by which Redis refused the call or a node of a cluster was unreachable. Raises
    `WrongShape` if an answer is another command's.
    """
    batches = group_calls(calls, separately=not is_one_server(client))
    marks = [make_mark() for _ in batches]
    commands = [encode_batch(calls, batch, mark) for batch, mark in zip(batches, marks, strict=True)]
    found = await _send(client, commands)
    unknown = [number for number, one in enumerate(found) if isinstance(one, NoScriptError)]
    if unknown:
        texts = [calls[batches[number][0]].script.text for number in unknown]
        again = await _send(
            client, [["EVAL", text, *commands[number][2:]] for number, text in zip(unknown, texts, strict=True)]
        )
        for number, one in zip(unknown, again, strict=True):
            found[number] = one
    results: list[Any] = [None] * len(calls)
    for batch, mark, one in zip(batches, marks, found, strict=True):
        for index, result in zip(batch, split_answer(one, len(batch), mark), strict=True):
            results[index] = result
    return results


def split_answer(answer: Any, count: int, mark: bytes) -> list[Any]:
    """Return the results of so many calls that one command with this mark ran. All have its error, if it is one.

    Raises `WrongShape` if the answer is another command's.
    """
    if isinstance(answer, Exception):
        return [answer] * count
    if not isinstance(answer, list) or len(answer) != count + 1 or answer[-1] != mark:
        raise WrongShape
    return answer[:-1]


def _digest(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def group_calls(calls: Sequence[ScriptCall], *, separately: bool) -> list[list[int]]:
    """Group the indices of calls by command: all calls of a script, or one each if keys may lie at different nodes."""
    if separately:
        return [[index] for index in range(len(calls))]
    batches: dict[Script, list[int]] = {}
    for index, call in enumerate(calls):
        batches.setdefault(call.script, []).append(index)
    return list(batches.values())


def encode_batch(calls: Sequence[ScriptCall], batch: Sequence[int], mark: bytes) -> list[Word]:
    """Return the words of the command that runs a script by its digest."""
    keys: list[Word] = []
    arguments: list[Word] = []
    for index in batch:
        keys += calls[index].keys
        arguments += calls[index].arguments
    return ["EVALSHA", calls[batch[0]].script.sha, len(keys), *keys, *arguments, len(batch), mark]


async def _send(client: AnyRedis, commands: Sequence[Sequence[Word]]) -> list[Any]:
    """Send commands, and return each result or error. A single one needs no pipeline, which halves its time.

    In a Cluster only MOVED is followed. A slot on the move answers ASK, and then TRYAGAIN until it holds entry and lease.
    redis-py would wait for that, and all other calls with it.
    """
    is_one = is_one_server(client)
    if len(commands) == 1 and is_one:
        try:
            return [await send_command(client, commands[0])]
        except ResponseError as error:
            return [error]
    async with client.pipeline(transaction=False) as pipeline:
        for command in commands:
            pipeline.execute_command(*command)
        found = list(await pipeline.execute(raise_on_error=False, **({} if is_one else {"allow_redirections": False})))
    if is_one:
        return found
    moved = [number for number, one in enumerate(found) if isinstance(one, MovedError)]
    again = await asyncio.gather(*(catching(send_command(client, commands[number])) for number in moved))
    for number, one in zip(moved, again, strict=True):
        found[number] = one
    return found
