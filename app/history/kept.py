"""Bounds of what is kept: what is too old is not shown, whether or not it is still stored. Pure; times are Unix ms.

It is dropped when anyone's balances change. So to show it, or to refuse it only once it is gone, would say that they did.
"""

from collections.abc import Callable, Iterable

from app.balances.snapshots import AccountId
from app.history.results import FeedEntry
from app.history.states import History


def has_outdated(entries: Iterable[FeedEntry], reads: Callable[[AccountId], bool], keep_from: int) -> bool:
    """Check whether one of the changes that a caller reads is from before `keep_from`."""
    return any(entry.as_of < keep_from and reads(entry.account_id) for entry in entries)


def may_lack(found: History | None, began: int, keep_from: int) -> bool:
    """Check whether an account may lack a change from after `began`. `found` has its state just before `keep_from`.

    The oldest state that an account keeps began with the newest change that was dropped.
    """
    if found is None or found.states[0].since >= keep_from:
        return began < keep_from or (found is not None and found.oldest > 0 and found.states[0].since >= began)
    return found.states[0].since >= began
