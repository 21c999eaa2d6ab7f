"""Hot path comparison: Tallygate, a bare application on its server, caches written in C, and minimal gateways.

Run: make bench, or .venv/bin/python -m bench.hot [--rounds 5] [--seconds 2]

One core serves, the other one loads. Contenders alternate within each round, so that other load on the machine affects
all of them. Wants wrk, and nginx, varnish, redis-server and Node with `npm ci --prefix bench/peers/fastify` for all rows.
"""

import argparse
import asyncio
import gc
import os
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterable
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

from msgspec import Struct, to_builtins

from bench.contenders import KEY, LOAD_CORE, PATH, TOKEN, UPSTREAM_PATH, Contender, Stage
from bench.open_loop import Latencies, run_open_loop
from bench.results import record

CONNECTIONS: Final = 32
COLD_READS: Final = 300

OURS: Final = "Tallygate"
BARE: Final = "bare ASGI application"
UNCHANGED, BARE_UNCHANGED, PORTFOLIO = "Tallygate, 304", "bare ASGI application, 304", "Tallygate, portfolio"
AT_AN_EVEN_RATE: Final = (OURS, BARE, "nginx proxy_cache")


class Load(Struct, frozen=True):
    """Results of a closed loop: answers a second, and quantiles in milliseconds."""

    per_second: float
    p50: float
    p99: float


def main() -> None:
    """Measure, print tables in Markdown, and write `results.json`."""
    options = read_options(__doc__, seconds=2)
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    load_before = os.getloadavg()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        stage = Stage(stack, Path(folder))
        upstream = stage.start_upstream()
        contenders = _start(stage, upstream)
        rates: dict[str, list[float]] = {each.name: [] for each in contenders}
        for _ in range(options.rounds):
            for each in contenders:
                rates[each.name].append(run_wrk(each, options.seconds).per_second)
        ours = contenders[0]
        cold = _measure_cold(ours, upstream)
        even = [each for each in contenders if each.name in AT_AN_EVEN_RATE]
        latencies = _measure_latencies(even, statistics.median(rates[OURS]) / 2, options)
        cpu = _compare_workers(stage, upstream, ours, options)
    found = {
        "load_average": {"before": load_before, "after": os.getloadavg()},
        "rates": rates,
        "cold_milliseconds": cold,
        "latencies": to_builtins(latencies),
        "cpu_microseconds": cpu,
        "missing": stage.missing,
    }
    record(found)
    print("\n".join(_report(found)))


def read_options(text: str | None, seconds: int) -> argparse.Namespace:
    """Read the number of rounds and the seconds of each."""
    parser = argparse.ArgumentParser(description=text)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=seconds)
    return parser.parse_args()


def _start(stage: Stage, upstream: int) -> list[Contender]:
    """Start all contenders. Tallygate is the first."""
    ours = stage.tallygate(upstream)
    status, headers, body = _ask(ours)
    if status != 200:
        raise AssertionError((status, body))
    etag = dict(headers)["etag"]
    unchanged = Contender(UNCHANGED, ours.port, PATH, {**ours.headers, "If-None-Match": etag})
    kept = [(name, value) for name, value in headers if name not in {"date", "server"}]
    kept_unchanged = [(name, value) for name, value in kept if not name.startswith("content-")]
    others = [
        stage.bare(BARE, 200, kept, body.decode()),
        unchanged,
        stage.bare(BARE_UNCHANGED, 304, kept_unchanged, ""),
        Contender(PORTFOLIO, ours.port, "/v1/portfolio", ours.headers),
        stage.nginx(upstream),
        stage.varnish(upstream),
        *stage.afternoons(upstream),
    ]
    print(f"The body has {len(body)} bytes.")
    return [ours, *(each for each in others if each is not None)]


def run_wrk(contender: Contender, seconds: int, script: str | None = None, *arguments: str) -> Load:
    """Load a contender in a closed loop, with a Lua script or one constant request. Raises `AssertionError` for any failed answer."""
    headers = [part for name, value in contender.headers.items() for part in ("-H", f"{name}: {value}")]
    url = f"http://127.0.0.1:{contender.port}{contender.path}"
    wrk = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", *headers]
    command = [*wrk, url] if script is None else [*wrk, "-s", script, url, "--", *arguments]
    said = subprocess.run(["taskset", "-c", LOAD_CORE, *command], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise AssertionError(f"{contender.name}: {said}")
    return Load(
        per_second=float(_find(r"Requests/sec:\s+([0-9.]+)()", said)[0]),
        p50=_milliseconds(_find(r"50%\s+([0-9.]+)(\w+)", said)),
        p99=_milliseconds(_find(r"99%\s+([0-9.]+)(\w+)", said)),
    )


def _find(pattern: str, text: str) -> tuple[str, str]:
    found = re.search(pattern, text)
    if found is None:
        raise AssertionError(text)
    return found[1], found[2]


def _milliseconds(duration: tuple[str, str]) -> float:
    number, unit = duration
    return float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]


def _measure_cold(ours: Contender, upstream: int) -> dict[str, float]:
    """Return the median milliseconds of a read that must fetch, and of the same call made directly; they alternate."""
    direct = Contender("upstream", upstream, UPSTREAM_PATH, {"X-BH-TOKEN": TOKEN})
    through = Contender(OURS, ours.port, PATH, {"Authorization": f"Bearer {KEY}", "Cache-Control": "no-cache"})
    seen: dict[str, list[float]] = {"direct": [], "through": []}
    wires = {name: HTTPConnection("127.0.0.1", each.port) for name, each in (("direct", direct), ("through", through))}
    for _ in range(COLD_READS):
        for name, each in (("direct", direct), ("through", through)):
            began = time.perf_counter()
            wires[name].request("GET", each.path, headers=dict(each.headers))
            answer = wires[name].getresponse()
            answer.read()
            if answer.status != 200:
                raise AssertionError(name)
            seen[name].append((time.perf_counter() - began) * 1000)
    return {name: statistics.median(times) for name, times in seen.items()}


def _measure_latencies(
    contenders: Iterable[Contender], per_second: float, options: argparse.Namespace
) -> dict[str, list[Latencies]]:
    """Load each at the same even rate, alternating, so that other load on the machine shows in every tail."""
    gc.collect()
    gc.freeze()  # a collection here would be measured as a pause there
    found: dict[str, list[Latencies]] = {each.name: [] for each in contenders}
    for _ in range(options.rounds):
        for each in contenders:
            load = run_open_loop(each.port, _write(each), per_second, options.seconds, CONNECTIONS)
            found[each.name].append(asyncio.run(load))
    return found


def _compare_workers(
    stage: Stage, upstream: int, one: Contender, options: argparse.Namespace
) -> dict[str, list[float]]:
    """Return the microseconds of CPU that the service takes for an answer, with one worker and with two."""
    two = stage.tallygate(upstream, workers=2)
    _ask(two)
    found: dict[str, list[float]] = {"1": [], "2": []}
    for _ in range(options.rounds):
        for name, each in (("1", one), ("2", two)):
            before = cpu_seconds(*each.pids)
            answers = run_wrk(each, options.seconds).per_second * options.seconds
            found[name].append((cpu_seconds(*each.pids) - before) / answers * 1e6)
    return found


def cpu_seconds(*pids: int) -> float:
    """Return the CPU time of processes and of all below them."""
    seconds = 0.0
    for pid in pids:
        below = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") + cpu_seconds(*map(int, below))
    return seconds


def _ask(contender: Contender) -> tuple[int, list[tuple[str, str]], bytes]:
    wire = HTTPConnection("127.0.0.1", contender.port)
    wire.request("GET", contender.path, headers=dict(contender.headers))
    answer = wire.getresponse()
    return answer.status, [(name.lower(), value) for name, value in answer.getheaders()], answer.read()


def _write(contender: Contender) -> bytes:
    lines = [f"GET {contender.path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in contender.headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _report(found: dict[str, Any]) -> Iterable[str]:
    rates = found["rates"]
    yield f"\nLoad average before {found['load_average']['before'][0]:.1f}, after {found['load_average']['after'][0]:.1f}."
    yield "\n| contender | answers/s, median | least to most | Tallygate's rate to it |\n|---|--:|--:|--:|"
    for name, seen in rates.items():
        to = UNCHANGED if name in {UNCHANGED, BARE_UNCHANGED} else PORTFOLIO if name == PORTFOLIO else OURS
        ratio = statistics.median(ours / max(theirs, 1) for ours, theirs in zip(rates[to], seen, strict=True))
        yield f"| {name} | {statistics.median(seen):,.0f} | {min(seen):,.0f} to {max(seen):,.0f} | {ratio:.2f} |"
    cold = found["cold_milliseconds"]
    yield f"\nCold read: {cold['through']:.2f} ms, the same call of the upstream directly {cold['direct']:.2f} ms."
    yield "\n| open loop at half of the peak, medians | p50 ms | p99 ms | p99.9 ms | p99 to p50 | least to most | while least was stolen | errors |"
    yield "|---|--:|--:|--:|--:|--:|--:|--:|"
    for name, rounds in found["latencies"].items():
        p50, p99, p999 = (statistics.median(each[quantile] for each in rounds) for quantile in ("p50", "p99", "p999"))
        tails = [each["p99"] / each["p50"] for each in rounds]
        stolen, calm = min((each["stolen_seconds"], tail) for each, tail in zip(rounds, tails, strict=True))
        spread = f"{statistics.median(tails):.1f} | {min(tails):.1f} to {max(tails):.1f} | {calm:.1f} ({stolen:.2f} s)"
        yield f"| {name} | {p50:.2f} | {p99:.2f} | {p999:.2f} | {spread} | {sum(each['errors'] for each in rounds)} |"
    one, two = (statistics.median(found["cpu_microseconds"][name]) for name in ("1", "2"))
    yield f"\nCPU for an answer: {one:.1f} µs with one worker, {two:.1f} µs with two ({two / one:.2f})."
    for missing in found["missing"]:
        yield f"Missing, and so not measured: {missing}."


if __name__ == "__main__":
    main()
