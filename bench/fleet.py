"""How the cost of a fleet grows with its merchants and its budget: the real cache in virtual time, no sockets.

Run: .venv/bin/python -m bench.fleet [--quick] [--replicas=50] [--reads=1000] [--seconds=40] [--seed=1]
"""

import argparse
import itertools
import logging
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor

import structlog

from bench.fleet_figures import Conditions, Figures
from bench.fleet_model import run_fleet

MERCHANTS = (100, 1_000, 10_000, 100_000)
BUDGETS = (10, 50, 200)
HEADINGS = (
    "merchants",
    "budget/s",
    "upstream calls/s",
    "answered without waiting",
    "budget spent",
    "failed otherwise",
    "age, median",
    "age, 99 %",
    "Redis operations/s",
    "of these for permits",
    "bus messages/s",
)


def main() -> None:
    """Print a table over merchants and budgets, in Markdown."""
    options = _read_options()
    grid: Iterable[tuple[int, int]] = itertools.product(MERCHANTS, BUDGETS)
    seconds, warm_up = options.seconds, options.seconds / 4
    if options.quick:
        grid, seconds, warm_up = ((100, 50), (1_000, 50)), 8, 2
    conditions = [
        Conditions(
            merchants=merchants,
            budget=budget,
            replicas=options.replicas,
            reads_per_second=options.reads,
            seconds=seconds,
            warm_up_seconds=warm_up,
            seed=options.seed,
        )
        for merchants, budget in grid
    ]
    print(
        f"{options.replicas} replicas, {options.reads:g} reads/s in the fleet; {seconds:g} s, counted from {warm_up:g} s"
    )
    print(_row(HEADINGS))
    print(_row("--:" for _ in HEADINGS))
    with ProcessPoolExecutor(initializer=_be_quiet) as processes:
        for one, figures in zip(conditions, processes.map(run_fleet, conditions), strict=True):
            print(_row(_cells(one, figures)), flush=True)


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--replicas", type=int, default=50)
    parser.add_argument("--reads", type=float, default=1000)
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def _be_quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


def _cells(conditions: Conditions, figures: Figures) -> Iterable[str]:
    yield f"{conditions.merchants:,}"
    yield f"{conditions.budget:g}"
    yield f"{figures.calls_per_second:.1f}"
    yield f"{figures.without_waiting:.2%}"
    yield f"{figures.budget_spent:.2%}"
    yield f"{figures.failed_otherwise:.2%}"
    yield f"{figures.age_seconds(50):.1f} s"
    yield f"{figures.age_seconds(99):.1f} s"
    yield f"{figures.operations.total() / figures.seconds:,.0f}"
    yield f"{figures.operations['take_permits'] / figures.seconds:,.0f}"
    yield f"{figures.messages / figures.seconds:,.0f}"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
