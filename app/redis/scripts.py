"""Strokes: scripts that are asked for together run by one command, as if each were alone."""

import hashlib
from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from redis.exceptions import NoScriptError, ResponseError

from app.redis import lua as scripts
from app.redis.connections import AnyRedis, Word, is_one_server, send_command

_Place = int


class Script(Struct, frozen=True, eq=False):
    """A script of which many runs are one command: its text, the name by which Redis knows it, and whether each run of it writes."""

    text: str
    sha: str
    writes: bool


class ScriptCall(Struct, frozen=True, gc=False):
    """A script, and what it is to be run with: as many keys and arguments as in all other calls of it."""

    script: Script
    keys: Sequence[str]
    arguments: Sequence[Any]


class ExtraArguments(Struct, frozen=True):
    """What a script wants besides, if it is to do more at the same stroke."""

    keys: Sequence[str]
    arguments: Sequence[Any]


def make_script(text: str, *, writes: bool = False) -> Script:
    """Make a script that can be run many times by one command (`scripts.TOGETHER`)."""
    whole = scripts.BATCH % text
    return Script(whole, hashlib.sha1(whole.encode(), usedforsecurity=False).hexdigest(), writes)


async def run_batch(client: AnyRedis, calls: Sequence[ScriptCall]) -> list[Any]:
    """Run scripts in one round trip, to each node if it is a cluster; in two where Redis does not know one of them yet.

    Gives for each what it gave, or the error with which Redis refused it or a node of a cluster could not be reached.
    """
    strokes = _group(calls, separately=not is_one_server(client))
    found = await _send(client, [_encode("EVALSHA", calls, stroke) for stroke in strokes])
    unknown = [number for number, one in enumerate(found) if isinstance(one, NoScriptError)]
    if unknown:
        again = await _send(client, [_encode("EVAL", calls, strokes[number]) for number in unknown])
        for number, one in zip(unknown, again, strict=True):
            found[number] = one
    results: list[Any] = [None] * len(calls)
    for stroke, one in zip(strokes, found, strict=True):
        for place, result in zip(stroke, [one] * len(stroke) if isinstance(one, Exception) else one, strict=True):
            results[place] = result
    return results


def _group(calls: Sequence[ScriptCall], *, separately: bool) -> list[list[_Place]]:
    """Say which calls are one command: all of a script, but each alone where their keys may lie at different nodes."""
    if separately:
        return [[place] for place in range(len(calls))]
    strokes: dict[Script, list[_Place]] = {}
    for place, call in enumerate(calls):
        strokes.setdefault(call.script, []).append(place)
    return list(strokes.values())


def _encode(command: str, calls: Sequence[ScriptCall], batch: Sequence[_Place]) -> list[Word]:
    """Give the words of the command that runs a script by its text or its name."""
    script = calls[batch[0]].script
    keys = [key for place in batch for key in calls[place].keys]
    arguments = [argument for place in batch for argument in calls[place].arguments]
    name = script.text if command == "EVAL" else script.sha
    return [command, name, len(keys), *keys, len(batch), *arguments]


async def _send(client: AnyRedis, commands: Sequence[Sequence[Word]]) -> list[Any]:
    """Send commands, and give for each what it gave, or its error. One alone needs no pipeline, and takes half the time."""
    if len(commands) == 1:
        try:
            return [await send_command(client, commands[0])]
        except ResponseError as error:
            return [error]
    async with client.pipeline(transaction=False) as pipeline:
        for command in commands:
            pipeline.execute_command(*command)
        return list(await pipeline.execute(raise_on_error=False))
