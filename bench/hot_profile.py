"""CPU profile of a hot read, in microseconds by step: the real edge over the real cache, without a server.

Run: .venv/bin/python -m bench.hot_profile
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Final, cast

from app.access.callers import Caller, Callers, hash_key
from app.access.client_addresses import ClientAddresses
from app.access.failed_logins import FailedLogins
from app.accounts import Accounts
from app.api.app import Access, ApiOptions, Balances, ServicePages, build_api
from app.api.middleware.edge import Edge
from app.api.reads.hot_path import read_plain_headers
from app.budget.fleet_budget import BudgetOptions, build_budget
from app.cache.freshness import FreshnessPolicy
from app.cache.replica import Origin, ReplicaOptions, build_replica
from app.ingress.connection import Connection
from app.resilience.draining import Drain
from app.runtime import Runtime
from app.secret import Secret
from app.settings.sections import RedisSettings
from app.wiring.redis import build_redis
from bench.instructions_driver import Connections, Nothing, Wire
from bench.memory import ASSETS, make_snapshots

CALLS: Final = 20_000
ROUNDS: Final = 7
POLICY: Final = FreshnessPolicy(5_000, 30_000, 600_000, 10_000)
HEADERS: Final = [(b"host", b"127.0.0.1:8080"), (b"authorization", b"Bearer key")]
MORE: Final = [(b"accept", b"*/*"), (b"user-agent", b"wrk"), (b"accept-encoding", b"br"), (b"origin", b"http://a")]
NOBODY: Final = cast("Any", None)


def measure(step: Callable[[], object]) -> float:
    """Return the microseconds of a step: the least of some rounds, since any disturbance only adds."""
    found = []
    for _ in range(ROUNDS):
        began = time.process_time_ns()
        for _ in range(CALLS):
            step()
        found.append((time.process_time_ns() - began) / CALLS / 1000)
    return min(found)


def build(callers: Callers) -> tuple[Edge, str]:
    """Build an edge whose memory holds a merchant of eight assets at a constant age of 1.5 s. Returns both with its path."""
    (snapshot,) = make_snapshots(1, len(ASSETS), Random(1))
    now = snapshot.as_of + 1_500

    def now_ms() -> int:
        return now + 0 * time.time_ns()

    runtime = Runtime(unix_ms=now_ms, random=Random(1).random)
    shared = build_redis(RedisSettings(url=Secret("redis://127.0.0.1")), "", runtime, plain=False)  # which is never key
    budget = build_budget(shared, BudgetOptions(per_second=1, burst=1, concurrency=1), runtime)
    options = ReplicaOptions(policy=POLICY, patience_seconds=5)
    replica = build_replica(shared, budget, Origin(load=NOBODY), options, runtime)
    replica.memory.put(snapshot)
    edge = build_api(
        ApiOptions(version="0", policy=POLICY),
        Access(callers, FailedLogins(1_000, time.monotonic), ClientAddresses(())),
        Balances(Accounts(replica.cache), NOBODY),
        ServicePages(NOBODY, None, Drain()),
        runtime,
    )
    return edge, f"/v1/merchants/{snapshot.account_id}/balances"


def write_request(path: str, *headers: tuple[bytes, bytes]) -> bytes:
    """Write a plain request for a path, with further headers."""
    lines = [b"GET %b HTTP/1.1" % path.encode(), *(b"%b: %b" % header for header in (*HEADERS, *headers))]
    return b"\r\n".join([*lines, b"", b""])


def connect(app: Any, answers: list[bytes]) -> Connection:
    """Make a connection without a network, with the last answer in a list."""

    def keep(answer: bytes) -> None:
        answers[:] = [answer]

    connection = Connection(Connections(asyncio.get_running_loop(), app))
    connection.connection_made(Wire(keep))  # type: ignore[arg-type]
    return connection


def print_table(steps: Mapping[str, Callable[[], object]], rated: Callable[[], object], callers: Callers) -> None:
    """Measure the steps, and the last one for a caller with a rate."""
    idle = measure(lambda: None)
    print("| step | µs |\n|---|--:|")
    for name, step in steps.items():
        print(f"| {name} | {measure(step) - idle:.2f} |")
    callers.replace_all([Caller("one", hash_key("key"), "all", rate=1e9)])
    print(f"| **the same for a caller with a rate** | {measure(rated) - idle:.2f} |")


async def main() -> None:
    """Print a table."""
    callers = Callers([Caller("one", hash_key("key"), "all")], workers=1, monotonic=time.monotonic)
    edge, path = build(callers)
    hot_path, answers = cast("Any", edge._hot_path), list[bytes]()  # noqa: SLF001
    connection = connect(edge, answers)
    plain, named = write_request(path), write_request(path, (b"x-request-id", b"a1"))
    connection.data_received(plain)
    known = write_request(path, (b"if-none-match", answers[0].partition(b"etag: ")[2].partition(b"\r\n")[0]))
    rich = write_request(path, *MORE)
    key = hot_path._requests.recall(plain)  # noqa: SLF001
    memo, now = hot_path._memos.recall(key), hot_path._unix_ms()  # noqa: SLF001
    bare = connect(Nothing(), [])

    def ask(request: bytes) -> Callable[[], object]:
        connection.data_received(request)
        return lambda: connection.data_received(request)

    steps: dict[str, Callable[[], object]] = {
        "a connection whose application answers nothing": lambda: bare.data_received(plain),
        "know the request again": lambda: hot_path._requests.recall(plain),  # noqa: SLF001
        "or read its headers": lambda: read_plain_headers(HEADERS),
        "find the memo": lambda: hot_path._memos.recall(key),  # noqa: SLF001
        "see that memory still has the snapshot": lambda: hot_path._is_current(memo.snapshot),  # noqa: SLF001
        "count it": lambda: memo.series.count(0.00001, 1_000),
        "name it": lambda: hot_path._request_ids.name(None),  # noqa: SLF001
        "age it, once a second": lambda: hot_path._renew(memo, key, now),  # noqa: SLF001
        "**a hot read over a connection**": ask(plain),
        "**the same, 304**": ask(known),
        "**the same with four more headers**": ask(rich),
        "**the same with an id of its own, which is parsed each time**": ask(named),
    }
    print_table(steps, ask(plain), callers)


if __name__ == "__main__":
    asyncio.run(main())
