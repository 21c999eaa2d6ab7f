"""Request handler of the upstream's port: counters, faults, answer, delivery."""

import asyncio
from collections.abc import Callable
from random import Random
from typing import assert_never

from sandbox.counters import Counters
from sandbox.delivery import deliver, final
from sandbox.faults import Breakage, Close, Hang, Latency
from sandbox.messages import Answer, Request
from sandbox.planning import Faults, Held, Plan
from sandbox.server import Connection
from sandbox.upstream import Upstream


class RequestHandler:
    """Answer the upstream's port.

    An answer says what was true when the request arrived, however long a fault then delays it.
    """

    before_answer: Callable[[Request], None] | None = None
    """Called with each request before its answer is made."""

    def __init__(
        self, upstream: Upstream, faults: Faults, counters: Counters, *, latency_seconds: float, random: Random
    ) -> None:
        self._upstream = upstream
        self._faults = faults
        self._counters = counters
        self._latency_seconds = latency_seconds
        self._random = random

    def serve(self, request: Request, wire: Connection) -> None:
        """Answer one request, without waiting where nothing holds it back."""
        self._counters.arrived(request)
        if self.before_answer is not None:
            self.before_answer(request)
        plan = self._faults.plan(request)
        answer = final(plan, self._upstream.answer(request))
        if plan.holds or self._latency_seconds or isinstance(plan.spoiler, Breakage):
            wire.run(self._later(plan, answer, wire), self._counters.left)
            return
        self._counters.answered(answer.status)
        self._counters.left()
        wire.send(answer)

    async def _later(self, plan: Plan, answer: Answer, wire: Connection) -> None:
        await asyncio.sleep(self._latency_seconds)
        for held in plan.holds:
            await self._wait(held)
        if not isinstance(plan.spoiler, Close):
            self._counters.answered(answer.status)
        if isinstance(plan.spoiler, Breakage):
            await deliver(plan.spoiler, answer, wire)
        else:
            wire.send(answer)

    async def _wait(self, held: Held) -> None:
        match held.hold:
            case Latency(seconds=seconds, jitter_seconds=jitter_seconds):
                await asyncio.sleep(seconds + jitter_seconds * self._random.random())
            case Hang():
                await held.removed.wait()
            case _:
                assert_never(held.hold)
