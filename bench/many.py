"""Batch of 1,000 merchants: cold, warm in Redis, warm in memory, and with some that fail or hang.

Run: .venv/bin/python -m bench.many [--rounds 5]

The simulated upstream, which takes 50 ms, and Valkey are separate processes. The service runs in this process and is
called over ASGI, so that the times are those of the server alone, with its event loop and its garbage collector.
The floor is the time that the calls need on the network: computed, and measured with the same transport alone.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, MutableMapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final
from urllib.request import Request, urlopen

import uvloop
from msgspec import Struct

from app.access.callers import Caller, hash_key
from app.access.clients_file import Clients
from app.api.middleware.edge import Edge
from app.egress.pool import PoolOptions
from app.egress.trust import trust_authorities
from app.main import create_app
from app.redis.embedded import EmbeddedValkey
from app.resilience.draining import Drain
from app.secret import Secret
from app.server.garbage import tune_garbage_collection
from app.telemetry.exposition import Exposition
from app.telemetry.logs import LogFormat, LogLevel, configure_logs
from app.telemetry.metrics import Metrics
from app.upstream.client import BALANCES_PATH
from app.upstream.transport import TOKEN_HEADER, SecretHeader, Transport
from bench.results import record
from tests.support.service import lifespan
from tests.support.settings import make_settings

MERCHANTS: Final = 1000
CONCURRENCY: Final = 100
LATENCY_MS: Final = 50
FLOOR_MS: Final = MERCHANTS / CONCURRENCY * LATENCY_MS
UPSTREAM_TIMEOUT_SECONDS: Final = 10
REDIS_TIMEOUT_SECONDS: Final = 2
"""Longer than in production, since the machine of a benchmark may be busy."""
PATIENCE_MS: Final = 1000 * (UPSTREAM_TIMEOUT_SECONDS + 4 * REDIS_TIMEOUT_SECONDS) + 250
"""The longest wait of a single read."""
WARM_READS: Final = 20

IDS: Final = [10001 + number for number in range(MERCHANTS)]
FAILING: Final = IDS[::34]
HANGING: Final = IDS[17::100]
KEY: Final = "tg_bench"
HEADERS: Final = (
    (b"host", b"127.0.0.1"),
    (b"authorization", f"Bearer {KEY}".encode()),
    (b"content-type", b"application/json"),
)
TOKEN: Final = Secret("sandbox-token")

WIRE, COLD, IN_REDIS, IN_MEMORY = "the wire alone", "cold", "warm in Redis", "warm in memory"
FAULTY: Final = "cold, 3 % failing, 1 % hanging"
WANTED: Final = {COLD: 2 * FLOOR_MS, IN_REDIS: 60.0, IN_MEMORY: 15.0, FAULTY: float(PATIENCE_MS)}


class Upstream(Struct, frozen=True):
    """A simulated upstream: its URL, and the URL that controls its faults."""

    url: str
    control: str

    def add_fault(self, **fault: Any) -> None:
        """Add a fault."""
        self._control("POST", json.dumps(fault).encode())

    def clear_faults(self) -> None:
        """Remove every fault."""
        self._control("DELETE", None)

    def _control(self, method: str, body: bytes | None) -> None:
        with urlopen(Request(f"{self.control}/faults", body, method=method)) as answer:  # our own
            answer.read()


class Cost(Struct, frozen=True):
    """Wall time and CPU time of this process for one answer, and the answer."""

    milliseconds: float
    cpu_milliseconds: float
    answer: dict[str, Any]


@contextmanager
def run_upstream() -> Iterator[Upstream]:
    """Run the simulated upstream in a process of its own."""
    command = [sys.executable, "-m", "sandbox", "--port=0", "--control-port=0", "--stop-on-eof"]
    command += [f"--latency-ms={LATENCY_MS}", f"--merchants={MERCHANTS + 1}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        yield Upstream(said["url"], said["control"])
        assert process.stdin is not None
        process.stdin.close()


@asynccontextmanager
async def run_gateway(url: str, redis_url: str, timeout_seconds: float = 30) -> AsyncIterator[Edge]:
    """Run a gateway with an empty memory."""
    settings = make_settings(
        upstream_url=url,
        upstream_token=TOKEN,
        upstream_rate=100_000,
        upstream_burst=10_000,
        upstream_concurrency=CONCURRENCY,
        upstream_timeout_seconds=timeout_seconds,
        redis_url=Secret(redis_url),
        redis_timeout_seconds=REDIS_TIMEOUT_SECONDS,
        fresh_seconds=3600,
        clients_file="",
    )
    clients = Clients((Caller("bench", hash_key(KEY), "all", portfolio=True),), ())
    app = create_app(settings, clients, exposition=Exposition(Metrics()), drain=Drain())
    async with lifespan(app):
        await asyncio.sleep(0.3)
        await ask(app, [IDS[-1] + 1])  # not one of those, so that only the balances are cold
        yield app


async def ask(app: Edge, merchants: Sequence[int] = IDS) -> Cost:
    """Request a batch of merchants, and return its cost."""
    question = json.dumps({"merchantIds": merchants}).encode()
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/v1/balances",
        "raw_path": b"/v1/balances",
        "query_string": b"",
        "root_path": "",
        "headers": HEADERS,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": question, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    cost = _watch()
    await app(scope, receive, send)  # type: ignore[arg-type]
    took = cost()
    body = b"".join(message.get("body", b"") for message in sent)
    assert sent[0]["status"] == 200, body[:500]
    return Cost(*took, json.loads(body))


async def call_all(url: str) -> tuple[float, float]:
    """Make all calls with the same concurrency and our transport alone. Returns wall and CPU milliseconds."""
    waiting = iter(IDS)
    async with Transport(url, PoolOptions(trust_authorities, 300, time.monotonic, lambda: 0.5)) as transport:

        async def work() -> None:
            for merchant in waiting:
                await transport.get(BALANCES_PATH, {"merchantId": str(merchant)}, SecretHeader(TOKEN_HEADER, TOKEN))

        cost = _watch()
        await asyncio.gather(*(work() for _ in range(CONCURRENCY)))
        return cost()


async def measure(upstream: Upstream) -> dict[str, list[tuple[float, float]]]:
    """Measure each kind once, the warm ones several times, with Redis servers that were empty."""
    found = {WIRE: [await call_all(upstream.url)]}
    with EmbeddedValkey() as valkey:
        async with run_gateway(upstream.url, valkey.url) as app:
            cold = await ask(app)
        async with run_gateway(upstream.url, valkey.url) as app:
            in_redis = await ask(app)
            in_memory = [await ask(app) for _ in range(WARM_READS)]
    for cost in (cold, in_redis, *in_memory):
        _check(cost.answer, cold.answer, missing=())
    with EmbeddedValkey() as valkey:
        async with run_gateway(upstream.url, valkey.url, UPSTREAM_TIMEOUT_SECONDS) as app:
            upstream.add_fault(kind="status", status=500, merchants=FAILING)
            upstream.add_fault(kind="hang", merchants=HANGING)
            faulty = await ask(app)
            upstream.clear_faults()
    _check(faulty.answer, cold.answer, missing=sorted({*FAILING, *HANGING}))
    for name, costs in ((COLD, [cold]), (IN_REDIS, [in_redis]), (IN_MEMORY, in_memory), (FAULTY, [faulty])):
        found[name] = [(cost.milliseconds, cost.cpu_milliseconds) for cost in costs]
    return found


def main() -> None:
    """Measure, print a table in Markdown of medians with their spread, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    configure_logs(LogFormat.CONSOLE, LogLevel.ERROR)  # what fails here fails on purpose
    tune_garbage_collection()
    load_before = os.getloadavg()
    found: dict[str, list[tuple[float, float]]] = {}
    with run_upstream() as upstream:
        for _ in range(rounds):
            for name, costs in uvloop.run(measure(upstream)).items():
                found.setdefault(name, []).extend(costs)
    times = {
        name: {
            "milliseconds": [round(milliseconds, 1) for milliseconds, _ in costs],
            "cpu_milliseconds": [round(cpu, 1) for _, cpu in costs],
        }
        for name, costs in found.items()
    }
    load = {"before": load_before, "after": os.getloadavg()}
    record({"many": {"load_average": load, "merchants": MERCHANTS, "floor_milliseconds": FLOOR_MS, "times": times}})
    print("\n".join(_report(load, times)))


def _watch() -> Callable[[], tuple[float, float]]:
    """Start a stopwatch. The callable returns the wall and CPU milliseconds since then."""
    began, cpu_began = time.perf_counter(), time.process_time()
    return lambda: ((time.perf_counter() - began) * 1000, (time.process_time() - cpu_began) * 1000)


def _check(answer: dict[str, Any], whole: dict[str, Any], missing: Iterable[int]) -> None:
    """Assert that exactly `missing` are unavailable, and that all others equal those of the whole answer."""
    unavailable = [part["merchantId"] for part in answer["merchants"] if part["status"] == "unavailable"]
    problems = {part["problem"]["title"] for part in answer["merchants"] if "problem" in part}
    assert unavailable == list(missing), f"{len(unavailable)} are unavailable: {problems}"
    for ours, theirs in zip(answer["merchants"], whole["merchants"], strict=True):
        assert ours["status"] == "unavailable" or ours["balances"] == theirs["balances"], ours["merchantId"]


def _report(load: dict[str, Any], times: dict[str, Any]) -> Iterable[str]:
    yield f"{MERCHANTS} merchants, {CONCURRENCY} calls of {LATENCY_MS} ms at once: {FLOOR_MS:.0f} ms are the floor."
    yield f"Load average before {load['before'][0]:.1f}, after {load['after'][0]:.1f}."
    yield "\n| a batch | ms, median | least to most | of the floor | of the wire alone | CPU ms, median | wanted at most |"
    yield "|---|--:|--:|--:|--:|--:|--:|"
    wire = statistics.median(times[WIRE]["milliseconds"])
    for name, each in times.items():
        seen, cpu = each["milliseconds"], statistics.median(each["cpu_milliseconds"])
        median, wanted = statistics.median(seen), WANTED.get(name)
        verdict = "" if wanted is None else f"{wanted:.0f} ms: {'met' if median <= wanted else 'missed'}"
        ratios = f"{median / FLOOR_MS:.2f} | {median / wire:.2f}"
        yield f"| {name} | {median:.1f} | {min(seen):.1f} to {max(seen):.1f} | {ratios} | {cpu:.1f} | {verdict} |"


if __name__ == "__main__":
    main()
