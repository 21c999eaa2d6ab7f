"""Active faults, and the selection of those that apply to a request."""

import asyncio
from random import Random
from typing import Any

import msgspec

from sandbox.faults import Alteration, Breakage, Fault, Hold, Replacement
from sandbox.messages import Request


class Held(msgspec.Struct, frozen=True):
    """A delay of an answer. `removed` is set when its fault is removed."""

    hold: Hold
    removed: asyncio.Event


class Plan(msgspec.Struct, frozen=True):
    """What happens to one answer: first every hold, then at most one spoiler."""

    holds: tuple[Held, ...] = ()
    spoiler: Replacement | Alteration | Breakage | None = None


_UNTOUCHED = Plan()


class Faults:
    """Keep the faults in the order they were added.

    A request meets every hold that fires, and of the others the first: faults with `times` play one after another.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._active: dict[int, _Active] = {}
        self._last_id = 0

    def add(self, fault: Fault) -> int:
        """Let a fault happen from now on; return the id that removes it."""
        self._last_id += 1
        self._active[self._last_id] = _Active(fault)
        return self._last_id

    def remove(self, fault_id: int) -> bool:
        """Remove a fault and release what it holds. Returns whether it was there."""
        active = self._active.pop(fault_id, None)
        if active is not None:
            active.removed.set()
        return active is not None

    def clear(self) -> int:
        """Remove all faults, and return how many there were."""
        return sum(self.remove(fault_id) for fault_id in list(self._active))

    def plan(self, request: Request) -> Plan:
        """Draw what happens to the answer of a request."""
        if not self._active:
            return _UNTOUCHED
        holds: list[Held] = []
        spoiler: Replacement | Alteration | Breakage | None = None
        for active in self._active.values():
            fault = active.fault
            if isinstance(fault, Hold):
                if active.fires(request, self._random):
                    holds.append(Held(hold=fault, removed=active.removed))
            elif spoiler is None and active.fires(request, self._random):
                spoiler = fault
        return Plan(holds=tuple(holds), spoiler=spoiler)

    def as_document(self) -> list[dict[str, Any]]:
        """Write the faults there are, with how often each has fired."""
        return [
            {"id": fault_id, "fired": active.fired, "fault": active.fault} for fault_id, active in self._active.items()
        ]


class _Active:
    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.fired = 0
        self.removed = asyncio.Event()

    def fires(self, request: Request, random: Random) -> bool:
        spent = self.fault.times is not None and self.fired >= self.fault.times
        if spent or not self.fault.meets(request) or random.random() >= self.fault.share:
            return False
        self.fired += 1
        return True
