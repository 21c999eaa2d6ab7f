"""How quickly a portfolio gets whole, how old it gets, and what the sweep costs: the real cache in virtual time, no sockets.

Run: .venv/bin/python -m bench.sweep [--quick] [--seed=1]
"""

import argparse
import asyncio
import gc
import logging
import time
from collections.abc import Iterable
from typing import Final

import structlog
from msgspec import Struct

from app.balances.amounts import Amount
from app.balances.snapshots import AccountId, Row, Snapshot
from app.portfolio.sweep_queue import SweepQueue
from bench.portfolio_model import PortfolioConditions, run_portfolio
from tests.support.virtual_time import VirtualLoop

GRID: Final = (
    (1_000, 50, 1),
    (1_000, 50, 50),
    (2_000, 10, 4),
    (2_000, 50, 4),
    (20_000, 200, 4),
    (100_000, 200, 1),
)
HEADINGS: Final = (
    "merchants",
    "budget/s",
    "replicas",
    "floor",
    "whole after",
    "of it",
    "calls a merchant",
    "oldest",
    "of the floor",
)


class Whole(Struct, frozen=True):
    """When a portfolio was whole, how many calls a merchant that took, and how old it got."""

    seconds: float
    calls: float
    oldest_seconds: float


def main() -> None:
    """Print a table in Markdown, and the cost of the sweep's own work."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    print(_row(HEADINGS))
    print(_row("--:" for _ in HEADINGS))
    for merchants, budget, replicas in GRID[:2] if options.quick else GRID:
        conditions = PortfolioConditions(merchants=merchants, budget=budget, replicas=replicas, seed=options.seed)
        floor = merchants / budget
        whole = run_until_old(conditions)
        cells = (f"{floor:.1f} s", f"{whole.seconds:.1f} s", f"{whole.seconds / floor:.2f}", f"{whole.calls:.3f}")
        aged = f"{whole.oldest_seconds:.1f} s", f"{whole.oldest_seconds / floor:.2f}"
        print(_row((f"{merchants:,}", str(budget), str(replicas), *cells, *aged)), flush=True)
    seconds = measure_queue(10_000 if options.quick else 100_000)
    print(
        f"\nThe queue of 100,000 merchants: {seconds * 1e6:.1f} µs a fetch, {seconds * 200:.2%} of a core at 200 a second."
    )


def run_until_old(conditions: PortfolioConditions) -> Whole:
    """Let a fleet get whole, and refresh all once more."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_run(conditions))


def measure_queue(count: int, fetches: int = 50_000) -> float:
    """Measure the seconds of CPU that one fetch costs in the queue: taking, hearing of the new entry, putting back."""
    now = 1_000_000_000_000
    queue = SweepQueue(4_750, lambda: now)
    merchants = [AccountId(str(10_001 + number)) for number in range(count)]
    row = Row("BTC", "BTC", "Bitcoin", Amount("1"), Amount("1"), Amount("0"))
    entries = [
        Snapshot(one, now - 10_000_000 + place, can_deposit=True, balances=(row,))
        for place, one in enumerate(merchants)
    ]
    known = dict(zip(merchants, entries, strict=True))
    queue.set_merchants(known.keys(), known.get)
    fetched = [
        Snapshot(merchants[place % count], now - 9_000_000 + place, can_deposit=True, balances=(row,))
        for place in range(fetches)
    ]
    gc.collect()
    began = time.process_time()
    for entry in fetched:
        if (need := queue.take()) is not None:
            queue.on_put(entry)
            queue.put_back(need.account_id)
    return (time.process_time() - began) / fetches


async def _run(conditions: PortfolioConditions) -> Whole:
    seconds = 2.3 * conditions.merchants / conditions.budget
    async with run_portfolio(conditions) as fleet:
        await fleet.ask(seconds, every_seconds=10)
        whole_at = fleet.upstream.whole_at
        calls = fleet.upstream.calls_until(whole_at) / conditions.merchants
        return Whole(whole_at, calls, fleet.upstream.oldest_seconds(whole_at, seconds))


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
