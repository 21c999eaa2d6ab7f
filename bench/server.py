"""Server settings compared under the bare application, to find any that would make Tallygate faster.

Run: .venv/bin/python -m bench.server [--rounds 10] [--seconds 1]
"""

import os
import statistics
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from bench.contenders import LOAD_CORE, Contender, Stage
from bench.hot import cpu_seconds, read_options, run_wrk
from bench.results import record

OURS: Final = "as Tallygate has it"
BODY: Final = "x" * 1019
HEADERS: Final = [(f"x-header-{number}", "a value of a usual size") for number in range(10)]
VARIANTS: Final = {
    OURS: ("asginl",),
    "the same again": ("asginl",),
    "two runtime threads": ("asginl", "--runtime-threads", "2"),
    "multi-threaded runtime": ("asginl", "--runtime-mode", "mt"),
    "asyncio's loop": ("asginl", "--loop", "asyncio"),
    "its own tasks (experimental)": ("asginl", "--task-impl", "rust"),
    "pipelined flushes": ("asginl", "--http1-pipeline-flush"),
    "no connection kept": ("asginl", "--no-http1-keep-alive"),
    "16 connections at once": ("asginl", "--backpressure", "16"),
    "HTTP/1.1 or HTTP/2": ("asginl", "--http", "auto"),
    "native interface (RSGI)": ("rsgi",),
}


def main() -> None:
    """Measure, print a table in Markdown, and write `results.json`."""
    options = read_options(__doc__, seconds=1)
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        stage = Stage(stack, Path(folder))
        servers = [_start(stage, name, *settings) for name, settings in VARIANTS.items()]
        rates: dict[str, list[float]] = {each.name: [] for each in servers}
        cpu: dict[str, list[float]] = {each.name: [] for each in servers}
        for _ in range(options.rounds):
            for each in servers:
                before = cpu_seconds(*each.pids)
                rate = run_wrk(each, options.seconds).per_second
                rates[each.name].append(rate)
                cpu[each.name].append((cpu_seconds(*each.pids) - before) / (rate * options.seconds) * 1e6)
    record({"server_rates": rates, "server_cpu_microseconds": cpu})
    print("\n".join(_report(rates, cpu)))


def _start(stage: Stage, name: str, interface: str, *settings: str) -> Contender:
    return stage.bare(name, 200, HEADERS, BODY, interface=interface, options=settings)


def _report(rates: dict[str, list[float]], cpu: dict[str, list[float]]) -> Iterable[str]:
    yield "\n| setting | of the rate as Tallygate has it | least to most | of its CPU for an answer |\n|---|--:|--:|--:|"
    for name, seen in rates.items():
        ratios = [theirs / ours for ours, theirs in zip(rates[OURS], seen, strict=True)]
        costs = statistics.median(theirs / ours for ours, theirs in zip(cpu[OURS], cpu[name], strict=True))
        yield f"| {name} | {statistics.median(ratios):.2f} | {min(ratios):.2f} to {max(ratios):.2f} | {costs:.2f} |"


if __name__ == "__main__":
    main()
