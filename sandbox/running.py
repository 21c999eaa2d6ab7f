"""Composition root: the whole sandbox, built and listening."""

import asyncio
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from random import Random
from types import TracebackType
from typing import Any, Self

from sandbox.control import Control
from sandbox.counters import Counters
from sandbox.events import Delivery, Events
from sandbox.faults import Fault, fault_named
from sandbox.handler import RequestHandler
from sandbox.messages import Request
from sandbox.planning import Faults
from sandbox.scenarios import Scenario, build
from sandbox.server import Server
from sandbox.tokens import Tokens
from sandbox.upstream import Upstream

CONTROL_HOST = "127.0.0.1"


@dataclass(kw_only=True, eq=False, repr=False)
class Sandbox:
    """Run the simulated upstream for as long as the `async with` lasts.

    Port 0 is any free port. `addresses` are the clients' addresses that may call (None: all). `clock` gives the time
    of tokens and of `Date`, in seconds since the epoch. Entering raises OSError when a port is taken; leaving cuts
    every connection. `world`, `tokens`, `faults`, `counters` and `events` may be used at any time.
    """

    scenario: Scenario = "random"
    merchants: int = 50
    seed: int = 7
    host: str = "127.0.0.1"
    port: int = 0
    control_port: int = 0
    token: str = "sandbox-token"  # noqa: S105  the sandbox guards nothing
    api_key: str = "sandbox-api-key"
    api_secret: str = "sandbox-api-secret"  # noqa: S105  the sandbox guards nothing
    token_lifetime_seconds: float = 3600
    new_token_voids_old: bool = False
    latency_seconds: float = 0
    delivery: Delivery = field(default_factory=Delivery)
    addresses: Collection[str] | None = None
    clock: Callable[[], float] = time.time
    url: str = field(init=False)
    control_url: str = field(init=False)

    def __post_init__(self) -> None:
        # each its own generator, so that faults and tokens do not change how the world moves
        uses = ("world", "faults", "tokens", "events")
        world_random, fault_random, token_random, event_random = (Random(f"{self.seed}:{use}") for use in uses)  # noqa: S311  repeatable, not secret
        self.world = build(self.scenario, self.merchants, world_random, self.clock)
        self.faults = Faults(fault_random)
        self.counters = Counters()
        self.events = Events(self.delivery, event_random)
        self.world.on_move = self.events.send
        self.tokens = Tokens(
            self.token,
            self.api_key,
            self.api_secret,
            lifetime_seconds=self.token_lifetime_seconds,
            new_voids_old=self.new_token_voids_old,
            clock=self.clock,
            random=token_random,
        )
        upstream = Upstream(self.world, self.tokens, self.seed, self.addresses)
        self._handler = RequestHandler(
            upstream, self.faults, self.counters, latency_seconds=self.latency_seconds, random=fault_random
        )
        control = Control(self.world, self.tokens, self.faults, self.counters, self.events)
        self._server = Server(self._handler.serve, self.clock, self.counters.connected)
        self._control_server = Server(control.serve, self.clock)
        self._closing = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.events.close)
            stack.push_async_callback(self._server.close)
            self.url = await self._server.start(self.host, self.port)
            stack.push_async_callback(self._control_server.close)
            self.control_url = await self._control_server.start(CONTROL_HOST, self.control_port)
            self._closing = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._closing.aclose()

    def add_fault(self, fault: Fault | str, **fields: Any) -> int:
        """Add a fault, as an object or as a kind and its fields in snake_case; return the id that removes it."""
        return self.faults.add(fault_named(fault, fields) if isinstance(fault, str) else fault)

    def clear_faults(self) -> None:
        """Remove every fault."""
        self.faults.clear()

    @contextmanager
    def fault(self, fault: Fault | str, **fields: Any) -> Iterator[int]:
        """Let a fault happen for as long as the `with` lasts."""
        fault_id = self.add_fault(fault, **fields)
        try:
            yield fault_id
        finally:
            self.faults.remove(fault_id)

    @contextmanager
    def before_each_answer(self, action: Callable[[Request], None]) -> Iterator[None]:
        """Call `action` with each request before its answer is made, for as long as the `with` lasts."""
        self._handler.before_answer = action
        try:
            yield
        finally:
            self._handler.before_answer = None

    async def calls(self, count: int, timeout_seconds: float = 10) -> None:
        """Wait until `count` balance calls have arrived; raise TimeoutError when they do not come in time."""
        async with asyncio.timeout(timeout_seconds):
            await self.counters.calls(count)

    async def idle(self, timeout_seconds: float = 10) -> None:
        """Wait until every request is answered or its client gone; raise TimeoutError when that takes longer."""
        async with asyncio.timeout(timeout_seconds):
            await self.counters.idle()
