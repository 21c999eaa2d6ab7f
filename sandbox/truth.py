"""Truth of the past: what each account held from when to when, to compare with what a gateway says of it."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from sandbox.accounts import Account

KEPT = 1_000
"""How many states of an account are kept."""


class Held(msgspec.Struct, frozen=True):
    """What an account held from a moment on (Unix ms); None where there was no such merchant."""

    since: int
    account: Account | None


class Truth:
    """Note each change of an account. `clock` gives the time in seconds since the epoch.

    Of all merchants together, only what was asked for is noted.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._held: dict[int, deque[Held]] = {}

    def now(self) -> int:
        """Return the time in Unix milliseconds."""
        return int(self._clock() * 1000)

    def note(self, merchant_id: int, account: Account | None, since: int | None = None) -> None:
        """Note what an account holds, from now or from a moment on."""
        held = self._held.setdefault(merchant_id, deque(maxlen=KEPT))
        if not held or held[-1].account is not account:
            held.append(Held(self.now() if since is None else since, account))

    def states(self, merchant_id: int) -> tuple[Held, ...]:
        """Return what is kept of an account, oldest first."""
        return tuple(self._held.get(merchant_id, ()))

    def during(self, merchant_id: int, since: int, until: int) -> Iterator[Account | None]:
        """Give all that an account held at some moment from `since` to `until` (Unix ms, both included).

        At the millisecond of a change it held both.
        """
        states = self.states(merchant_id)
        for place, held in enumerate(states):
            ended = states[place + 1].since if place + 1 < len(states) else None
            if held.since <= until and (ended is None or since <= ended):
                yield held.account

    def as_document(self, merchant_id: int) -> dict[str, Any]:
        """Show the states of an account as JSON: each until the next one's `since`."""
        return {"states": [_show(held) for held in self.states(merchant_id)]}


def _show(held: Held) -> dict[str, Any]:
    if held.account is None:
        return {"since": held.since, "absent": True}
    return {"since": held.since, "canDeposit": held.account.can_deposit, "balances": held.account.balances}
