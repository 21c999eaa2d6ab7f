"""Health probes under full load: each is answered within 50 ms.

Run: .venv/bin/python -m bench.health [--rounds 3] [--seconds 4]

The service has one core. The other one runs the load, the simulated upstream and this process. It alternates
`/health/live` and `/health/ready` over one connection, 10 ms after each answer.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

from msgspec import json, to_builtins

from bench.contenders import LOAD_CORE, TEMPLATE, Contender, Stage
from bench.hot import read_options, run_wrk
from bench.results import record
from sandbox.scenarios import FIRST_MERCHANT

SCRIPT: Final = Path(__file__).with_name("mixed.lua")
POPULAR: Final = 1_000
MERCHANTS: Final = 20_000
MOVES_PER_SECOND: Final = 200
PATHS: Final = ("/health/live", "/health/ready")
PAUSE_SECONDS: Final = 0.01
WANTED_MS: Final = 50


def main() -> None:
    """Measure, print a table in Markdown, and write `results.json`."""
    options = read_options(__doc__, seconds=4)
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        stage = Stage(stack, Path(folder))
        upstream = stage.start_upstream(f"--merchants={MERCHANTS}", f"--moves-per-second={MOVES_PER_SECOND}")
        ours = stage.tallygate(upstream)
        loads: Mapping[str, Callable[[], object]] = {
            "nothing": lambda: time.sleep(options.seconds),
            "hot reads": lambda: run_wrk(ours, options.seconds),
            "mixed load": lambda: _mix(ours, options.seconds),
            "cold batches of 1,000": lambda: _ask_batches(ours, options.seconds),
        }
        seen: dict[str, list[float]] = {name: [] for name in loads}
        for _ in range(options.rounds):
            for name, load in loads.items():
                seen[name] += _probe(ours.port, load)
    record({"health_milliseconds": to_builtins(seen)})
    print("\n".join(_report(seen)))


def _mix(ours: Contender, seconds: int) -> None:
    run_wrk(ours, seconds, str(SCRIPT), TEMPLATE, str(FIRST_MERCHANT), str(POPULAR), str(FIRST_MERCHANT + POPULAR))


def _ask_batches(ours: Contender, seconds: int) -> None:
    until = time.monotonic() + seconds
    question = json.encode({"merchantIds": [str(FIRST_MERCHANT + place) for place in range(1000)]})
    headers = {**ours.headers, "Content-Type": "application/json", "Cache-Control": "no-cache"}
    wire = HTTPConnection("127.0.0.1", ours.port)
    while time.monotonic() < until:
        wire.request("POST", "/v1/balances", question, headers)
        answer = wire.getresponse()
        answer.read()
        if answer.status != 200:
            raise AssertionError(answer.status)


def _probe(port: int, load: Callable[[], object]) -> Iterator[float]:
    """Yield the milliseconds of each probe while the load lasts."""
    wire = HTTPConnection("127.0.0.1", port)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(load)
        while not running.done():
            for path in PATHS:
                began = time.perf_counter()
                wire.request("GET", path)
                answer = wire.getresponse()
                answer.read()
                if answer.status != 200:
                    raise AssertionError((path, answer.status))
                yield (time.perf_counter() - began) * 1000
                time.sleep(PAUSE_SECONDS)
        running.result()


def _report(seen: dict[str, list[float]]) -> Iterable[str]:
    yield "\n| health while there is | answers | median ms | p99 ms | slowest ms | wanted at most |\n|---|--:|--:|--:|--:|--:|"
    for name, times in seen.items():
        times.sort()
        p50, p99 = (times[int(share * (len(times) - 1))] for share in (0.5, 0.99))
        verdict = "met" if times[-1] <= WANTED_MS else "**missed**"
        yield f"| {name} | {len(times)} | {p50:.1f} | {p99:.1f} | {times[-1]:.1f} | {WANTED_MS} ms: {verdict} |"


if __name__ == "__main__":
    main()
