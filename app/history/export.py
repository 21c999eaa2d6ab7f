"""Export: all that is kept of the accounts between two moments, a state after the other, for archives."""

from collections.abc import AsyncIterator
from typing import Final

from msgspec import Struct

from app.balances.snapshots import AccountId
from app.history.past import Past
from app.history.states import History, Looks, State

_AT_ONCE: Final = 50


class KeptAccount(Struct, frozen=True):
    """An account and the epoch of its history: no state is kept that ended before `kept_from` (Unix ms)."""

    account_id: AccountId
    epoch: str
    kept_from: int


class KeptState(Struct, frozen=True):
    """A state of an account, the looks that found it, and when another one was found (Unix ms), None for the newest."""

    account_id: AccountId
    epoch: str
    state: State
    looks: Looks
    changed_by: int | None


class LostStates(Struct, frozen=True):
    """States of an account were dropped or lost during the export, after a number of an epoch."""

    account_id: AccountId
    epoch: str
    after: int


Exported = KeptAccount | KeptState | LostStates


async def export_account(past: Past, account_id: AccountId, since: int, until: int) -> AsyncIterator[Exported]:
    """Give what an account had from `since` until before `until` (Unix ms), oldest first; nothing if nothing is known.

    Holds 50 states at most. Raises `StoreUnavailable`. What is lost meanwhile is said, and the rest follows.
    """
    found = await past.find(account_id, "at", since, _AT_ONCE)
    if found is not None:
        yield await _introduce(past, account_id, found)
    while found is not None:
        for place, state in enumerate(found.states):
            looks = found.looks_of(place)
            if state.since >= until:
                return
            if looks is not None:
                yield KeptState(account_id, found.epoch, state, *looks)
        last = found.states[-1].sequence
        if last >= found.newest:
            return
        again = await past.find(account_id, "from", last, _AT_ONCE)
        if again is None or again.epoch != found.epoch or again.states[0].sequence != last:
            yield LostStates(account_id, found.epoch, last - 1)
            again = again or await past.find(account_id, "from", 0, _AT_ONCE)
            if again is None or (again.epoch == found.epoch and again.newest < last):
                return  # lost; or set back, and all that is left was given before
            yield await _introduce(past, account_id, again)
        found = again


async def _introduce(past: Past, account_id: AccountId, found: History) -> KeptAccount:
    first = found.states[0]
    if first.sequence != found.oldest:
        oldest = await past.find(account_id, "from", found.oldest, 1)
        first = first if oldest is None or oldest.epoch != found.epoch else oldest.states[0]
    return KeptAccount(account_id, found.epoch, first.since)
