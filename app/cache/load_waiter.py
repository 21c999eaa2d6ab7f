"""Waiting for flights: for many keys at once, each until one lands that satisfies, all within one deadline."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from msgspec import Struct

from app.balances.snapshots import Key
from app.budget.budget import Errand
from app.cache.fleet_loader import Failed, Landed, Landing
from app.cache.freshness import Policy, Terms, satisfies
from app.cache.single_flight import Flights
from app.errors import DeadlinePassed

Fly = Callable[[Key, Terms, Errand], Coroutine[Any, Any, Landing]]


class Arrival(Struct, frozen=True):
    """What landed for somebody who waited, when (Unix milliseconds), and whether it was under way before."""

    landing: Landing
    at: int
    was_under_way: bool


class _Party(Struct, eq=False):
    """The keys that one caller waits for: how many, those that arrived, and what ends when all have or time is up."""

    count: int
    end: asyncio.Future[None]
    arrived: dict[Key, Arrival]

    def take(self, key: Key, arrival: Arrival) -> None:
        self.arrived[key] = arrival
        if len(self.arrived) == self.count:
            self.leave()

    def leave(self) -> None:
        if not self.end.done():
            self.end.set_result(None)


class Waiting:
    """Own the flights, which `fly` flies, and let callers wait for them. `now_ms` is Unix time in milliseconds."""

    def __init__(self, fly: Fly, policy: Policy, now_ms: Callable[[], int]) -> None:
        self._fly: Final = fly
        self._policy: Final = policy
        self._now_ms: Final = now_ms
        self._flights: Final[Flights[Landing]] = Flights()

    def board(self, key: Key, terms: Terms, errand: Errand) -> tuple[asyncio.Task[Landing], bool]:
        """Give the flight of a key, begun now if there is none, and tell whether it was under way."""
        return self._flights.board(key, errand, lambda errand: self._fly(key, terms, errand))

    async def wait(self, wanted: Mapping[Key, Terms], errand: Errand, patience_seconds: float) -> dict[Key, Arrival]:
        """Wait for keys, each on its own terms; those that did not arrive in time failed with `DeadlinePassed`.

        May be cancelled: the flights go on for others, as they do when the time is up. Makes no task but the flights.
        """
        if not wanted:
            return {}
        loop = asyncio.get_running_loop()
        party = _Party(len(wanted), loop.create_future(), {})
        for key, terms in wanted.items():
            self._send(party, key, terms, errand)
        time_is_up = loop.call_later(patience_seconds, party.leave)
        try:
            await party.end
        finally:
            time_is_up.cancel()
        return {key: party.arrived.get(key) or self._note_late(patience_seconds) for key in wanted}

    async def close(self) -> None:
        """End the flights that are under way."""
        await self._flights.close()

    def _send(self, party: _Party, key: Key, terms: Terms, errand: Errand) -> None:
        flight, was_under_way = self.board(key, terms, Errand(errand.priority, errand.caller))

        def meet(flight: asyncio.Task[Landing]) -> None:
            if party.end.done():
                return
            if flight.cancelled():
                party.end.cancel()
            elif (crash := flight.exception()) is not None:
                party.end.set_exception(crash)
            elif self._will_do(landing := flight.result(), terms):
                party.take(key, Arrival(landing, self._now_ms(), was_under_way))
            else:
                self._send(party, key, terms, errand)

        flight.add_done_callback(meet)

    def _note_late(self, patience_seconds: float) -> Arrival:
        late = DeadlinePassed(f"No answer was there within {patience_seconds:g} s.")
        return Arrival(Failed(late), self._now_ms(), was_under_way=False)

    def _will_do(self, landing: Landing, terms: Terms) -> bool:
        """Tell whether somebody may take what landed. One that began before they came, or for laxer terms, may not satisfy."""
        return not isinstance(landing, Landed) or satisfies(
            landing.entry, landing.fetch_began_at, self._now_ms(), self._policy, terms
        )
