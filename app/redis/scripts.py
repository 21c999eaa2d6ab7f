"""Scripts in batches: many calls of a Lua script run by one command, as if each were alone."""

import hashlib
from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from redis.exceptions import NoScriptError, ResponseError

from app.redis import lua
from app.redis.connections import AnyRedis, Word, is_one_server, send_command


class Script(Struct, frozen=True, eq=False):
    """A Lua script that one command can run many times. `writes` is whether each run writes."""

    text: str
    sha: str
    writes: bool


class ScriptCall(Struct, frozen=True, gc=False):
    """One run of a script. All calls of a script have equally many keys and arguments."""

    script: Script
    keys: Sequence[str]
    arguments: Sequence[Any]


class ExtraArguments(Struct, frozen=True):
    """Keys and arguments that a script takes besides, if it does a second thing atomically with the first."""

    keys: Sequence[str]
    arguments: Sequence[Any]


def make_script(text: str, *, writes: bool = False) -> Script:
    """Make a script that can be run many times by one command (`lua.BATCH`)."""
    whole = lua.BATCH % text
    return Script(whole, hashlib.sha1(whole.encode(), usedforsecurity=False).hexdigest(), writes)


async def run_batch(client: AnyRedis, calls: Sequence[ScriptCall]) -> list[Any]:
    """Run scripts in one round trip (to each node of a cluster), or in two if Redis does not know one of them yet.

    Returns each result, or the error by which Redis refused the call or a node of a cluster was unreachable.
    """
    batches = _group(calls, separately=not is_one_server(client))
    found = await _send(client, [_encode("EVALSHA", calls, batch) for batch in batches])
    unknown = [number for number, one in enumerate(found) if isinstance(one, NoScriptError)]
    if unknown:
        again = await _send(client, [_encode("EVAL", calls, batches[number]) for number in unknown])
        for number, one in zip(unknown, again, strict=True):
            found[number] = one
    results: list[Any] = [None] * len(calls)
    for batch, one in zip(batches, found, strict=True):
        for index, result in zip(batch, [one] * len(batch) if isinstance(one, Exception) else one, strict=True):
            results[index] = result
    return results


def _group(calls: Sequence[ScriptCall], *, separately: bool) -> list[list[int]]:
    """Group the indices of calls by command: all calls of a script, or one each if keys may lie at different nodes."""
    if separately:
        return [[index] for index in range(len(calls))]
    batches: dict[Script, list[int]] = {}
    for index, call in enumerate(calls):
        batches.setdefault(call.script, []).append(index)
    return list(batches.values())


def _encode(command: str, calls: Sequence[ScriptCall], batch: Sequence[int]) -> list[Word]:
    """Return the words of the command that runs a script by its text or its digest."""
    script = calls[batch[0]].script
    keys = [key for index in batch for key in calls[index].keys]
    arguments = [argument for index in batch for argument in calls[index].arguments]
    name = script.text if command == "EVAL" else script.sha
    return [command, name, len(keys), *keys, len(batch), *arguments]


async def _send(client: AnyRedis, commands: Sequence[Sequence[Word]]) -> list[Any]:
    """Send commands, and return each result or error. A single one needs no pipeline, which halves its time."""
    if len(commands) == 1:
        try:
            return [await send_command(client, commands[0])]
        except ResponseError as error:
            return [error]
    async with client.pipeline(transaction=False) as pipeline:
        for command in commands:
            pipeline.execute_command(*command)
        return list(await pipeline.execute(raise_on_error=False))
