"""Convoys: scripts that are asked for in one turn of the event loop travel to Redis together, in one round trip."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from app.redis.client import Link, Outcome
from app.redis.scripts import Call, Script, run_scripts

_MOST: Final = 100
"""How many travel together at most: more of them could take as long as a command may."""

_Passenger = tuple[Call, asyncio.Future[Any]]


class Convoys:
    """Run scripts over `link`, many in one round trip (to each node of a cluster). To whoever asks, each is a command of its own.

    Each is still run at one stroke; between two of them, Redis may run what others send, as ever.
    """

    def __init__(self, link: Link) -> None:
        self._link: Final = link
        self._waiting: list[_Passenger] = []
        self._under_way: Final[set[asyncio.Task[None]]] = set()

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> Any | Outcome:
        """Run a script, and give what it gave.

        Never raises what Redis or the network may raise. May be cancelled: the script is run all the same.
        """
        return await self.send(script, keys, arguments)

    def send(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> asyncio.Future[Any | Outcome]:
        """Send a script, and give what will tell what it gave. As `run`, but for those who send many."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._depart)
        result = loop.create_future()
        self._waiting.append((Call(script, keys, arguments), result))
        return result

    async def close(self) -> None:
        """Wait until what is under way has arrived, which takes no longer than a command may."""
        while self._waiting or self._under_way:
            await asyncio.gather(asyncio.sleep(0), *self._under_way)

    def _depart(self) -> None:
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), _MOST):
            task = asyncio.create_task(self._travel(waiting[start : start + _MOST]))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _travel(self, passengers: list[_Passenger]) -> None:
        calls = [call for call, _ in passengers]
        found: list[Any] | Outcome = Outcome.UNAVAILABLE
        try:
            found = await self._link.attempt(lambda: run_scripts(self._link.client, calls), commands=len(calls))
        finally:  # whatever happens, nobody waits for ever
            each = [found] * len(calls) if isinstance(found, Outcome) else found
            for (call, result), one in zip(passengers, each, strict=True):
                judged = self._link.judge(one, writes=call.script.writes)
                if not result.done():
                    result.set_result(judged)
