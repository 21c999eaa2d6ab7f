"""Scenarios: the worlds to begin with."""

import itertools
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from random import Random
from typing import Literal, assert_never

from sandbox.accounts import Account, Row, row
from sandbox.amounts import EXACT, awkward
from sandbox.disagreement import Disagreement
from sandbox.motion import MOTIONS
from sandbox.world import World

Moving = Literal["bursts", "flapping", "assets", "returning", "permuted", "renamed", "restless"]
Scenario = Literal["random", "document", "disagreement", Moving]

FIRST_MERCHANT = 10001
DOCUMENT_MERCHANT = 12345
EMPTY_MERCHANT = 12346

ASSETS = {
    # ticker: (display name, decimals)
    "USDT": ("Tether USD", 6),
    "BTC": ("Bitcoin", 8),
    "USDC": ("USD Coin", 6),
    "MMXN": ("Moneta Mexican Peso", 6),
    "BRL1": ("Brazilian Real One", 18),
    "CADC": ("Canadian Dollar Coin", 18),
    "MXNB": ("Mexican Peso Bitso", 6),
    "COPM": ("Colombian Peso Minteo", 18),
}

DISAGREEMENT = Disagreement(
    missing=frozenset({"BTC"}),
    extra=(dict(row("XAUT", "Tether Gold", Decimal(3), Decimal(1))),),
    renamed={"USDT": "Tether"},
    can_deposit=False,
    order="reversed",
)
"""How the aggregate differs from its merchants in the scenario of that name."""

_DOCUMENT_ROWS = (("USDT", Decimal(800), Decimal(200)), ("BTC", Decimal("0.3"), Decimal("0.2")))
_DOCUMENT_REST = (("USDT", 6, Decimal(3200), Decimal(800)), ("BTC", 8, Decimal("1.2"), Decimal("0.3")))
"""What the document's aggregate has over its merchant: asset, decimals, free, locked."""


def build(scenario: Scenario, merchants: int, random: Random, clock: Callable[[], float] = time.time) -> World:
    """Make the world of a scenario, drawn from `random`. Its past has the times of `clock` (s since the epoch).

    `merchants` counts all of them; the document's world has at least three: raise ValueError for fewer.
    """
    match scenario:
        case "random":
            return World(_random(merchants, random), random, clock=clock)
        case "document":
            return World(_document(merchants, random), random, clock=clock)
        case "disagreement":
            return World(_random(merchants, random), random, DISAGREEMENT, clock=clock)
        case "bursts" | "flapping" | "assets" | "returning" | "permuted" | "renamed" | "restless":
            return World(_random(merchants, random), random, motion=MOTIONS[scenario], clock=clock)
        case _:
            assert_never(scenario)


def _random(merchants: int, random: Random) -> dict[int, Account]:
    return {FIRST_MERCHANT + place: _random_account(random) for place in range(merchants)}


def _random_account(random: Random) -> Account:
    assets = random.sample(list(ASSETS), random.randint(1, len(ASSETS)))
    rows = tuple(row(asset, ASSETS[asset][0], awkward(random), awkward(random)) for asset in assets)
    return Account(can_deposit=random.random() < 0.9, balances=rows)  # noqa: PLR2004  nine in ten take deposits


def _document(merchants: int, random: Random) -> dict[int, Account]:
    others = merchants - 2
    if others < 1:
        raise ValueError("the document's world has at least 3 merchants")
    # the document's merchant comes first: the aggregate's rows stand in the order in which assets are first seen
    own = tuple(row(asset, asset, free, locked) for asset, free, locked in _DOCUMENT_ROWS)
    world = {
        DOCUMENT_MERCHANT: Account(can_deposit=True, balances=own),
        EMPTY_MERCHANT: Account(can_deposit=True, balances=()),
    }
    ids = (merchant_id for merchant_id in itertools.count(FIRST_MERCHANT) if merchant_id not in world)
    columns = [_rest(asset, decimals, free, locked, others, random) for asset, decimals, free, locked in _DOCUMENT_REST]
    accounts = [Account(can_deposit=True, balances=rows) for rows in zip(*columns, strict=True)]
    return world | dict(zip(ids, accounts, strict=False))


def _rest(asset: str, decimals: int, free: Decimal, locked: Decimal, parts: int, random: Random) -> Iterator[Row]:
    split = (_split(amount, decimals, parts, random) for amount in (free, locked))
    return (row(asset, asset, part_free, part_locked) for part_free, part_locked in zip(*split, strict=True))


def _split(amount: Decimal, decimals: int, parts: int, random: Random) -> list[Decimal]:
    units = int(amount.scaleb(decimals, EXACT))
    cuts = [0, *sorted(random.randrange(units + 1) for _ in range(parts - 1)), units]
    return [Decimal(after - before).scaleb(-decimals, EXACT) for before, after in itertools.pairwise(cuts)]
