"""Motions: how an account changes when it moves. No I/O."""

from collections.abc import Callable, Mapping
from random import Random

import msgspec

from sandbox.accounts import Account, Row, row, texts
from sandbox.amounts import awkward

Change = Callable[[Account, Account | None, Random], Account]
"""Makes of an account, and of what it was before, what it is next. It may be equal where only the order of rows changes."""


class Motion(msgspec.Struct, frozen=True):
    """A change, and how many of them come at once: of so many moves, all but the last do nothing."""

    change: Change
    burst: int = 1


def change_amounts(account: Account, _: Account | None, random: Random) -> Account:
    """Change one row. An account without rows gets its first one."""
    if not account.balances:
        return _with(account, (row("USDT", "USDT", awkward(random), awkward(random)),))
    place = random.randrange(len(account.balances))
    old = new = account.balances[place]
    while new == old:
        new = {**old, **texts(awkward(random), awkward(random))}
    return _with(account, (*account.balances[:place], new, *account.balances[place + 1 :]))


def flap(account: Account, _: Account | None, __: Random) -> Account:
    """Begin or cease to take deposits."""
    return Account(can_deposit=not account.can_deposit, balances=account.balances)


def come_and_go(account: Account, _: Account | None, random: Random) -> Account:
    """Add the row of a new asset, or remove one, but not the last."""
    if len(account.balances) > 1 and random.random() < 0.5:  # noqa: PLR2004  as often as not
        place = random.randrange(len(account.balances))
        return _with(account, (*account.balances[:place], *account.balances[place + 1 :]))
    asset = f"NEW{random.randrange(10**6)}"
    return _with(account, (*account.balances, row(asset, asset, awkward(random), awkward(random))))


def come_back(account: Account, before: Account | None, random: Random) -> Account:
    """Become what it was before, three times in four; else something else."""
    if before is not None and random.random() < 0.75:  # noqa: PLR2004
        return before
    return change_amounts(account, before, random)


def permute(account: Account, _: Account | None, random: Random) -> Account:
    """Hold the same in another order of rows, as far as there is one."""
    return _with(account, tuple(random.sample(account.balances, len(account.balances))))


def rename(account: Account, before: Account | None, random: Random) -> Account:
    """Give one asset another name."""
    if not account.balances:
        return change_amounts(account, before, random)
    place = random.randrange(len(account.balances))
    old = account.balances[place]
    new = {**old, "assetName": f"{old.get('asset')} {random.randrange(10**6)}"}
    return _with(account, (*account.balances[:place], new, *account.balances[place + 1 :]))


def do_anything(account: Account, before: Account | None, random: Random) -> Account:
    """Change in any of these ways."""
    return random.choice((change_amounts, flap, come_and_go, come_back, permute, rename))(account, before, random)


CALM = Motion(change_amounts)
MOTIONS: Mapping[str, Motion] = {
    "bursts": Motion(change_amounts, burst=20),
    "flapping": Motion(flap),
    "assets": Motion(come_and_go),
    "returning": Motion(come_back),
    "permuted": Motion(permute),
    "renamed": Motion(rename),
    "restless": Motion(do_anything),
}
"""The scenarios whose worlds move in another way."""


def _with(account: Account, balances: tuple[Row, ...]) -> Account:
    return Account(can_deposit=account.can_deposit, balances=balances)
