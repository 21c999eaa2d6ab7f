"""CPU profile of a hot read, in microseconds by step: the real edge over the real cache, without a server.

Run: .venv/bin/python -m bench.hot_profile
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from random import Random
from typing import Any, Final, cast

from app.access.callers import Caller, Callers, hash_key
from app.access.client_addresses import ClientAddresses
from app.access.failed_logins import FailedLogins
from app.accounts import Accounts
from app.api.app import Access, ApiOptions, Balances, ServicePages, build_api
from app.api.middleware.edge import Edge
from app.api.reads.hot_path import HotPath, read_plain_headers
from app.budget.fleet_budget import BudgetOptions, build_budget
from app.cache.freshness import FreshnessPolicy
from app.cache.replica import Origin, ReplicaOptions, build_replica
from app.resilience.draining import Drain
from app.runtime import Runtime
from app.secret import Secret
from app.settings.sections import RedisSettings
from app.wiring.redis import build_redis
from bench.memory import ASSETS, make_snapshots

CALLS: Final = 20_000
ROUNDS: Final = 7
POLICY: Final = FreshnessPolicy(5_000, 30_000, 600_000, 10_000)
HEADERS: Final = [(b"host", b"127.0.0.1:8080"), (b"authorization", b"Bearer key")]
MORE: Final = [(b"accept", b"*/*"), (b"user-agent", b"wrk"), (b"accept-encoding", b"br"), (b"x-request-id", b"a1")]
NOBODY: Final = cast("Any", None)


class _Sent:
    """An awaitable that is complete from the start."""

    def __await__(self) -> "_Sent":
        return self

    def __iter__(self) -> "_Sent":
        return self

    def __next__(self) -> None:
        raise StopIteration


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


def run(request: Coroutine[Any, Any, None]) -> None:
    """Run a request that waits for nothing."""
    try:
        request.send(None)
    except StopIteration:
        return
    raise RuntimeError("this request is not hot")


def make_scope(path: str, *headers: tuple[bytes, bytes]) -> Any:
    """Make a plain request for a path, with further headers."""
    raw = path.encode()
    base = {"type": "http", "http_version": "1.1", "method": "GET", "client": None}
    return base | {"path": path, "raw_path": raw, "query_string": b"", "headers": [*HEADERS, *headers], "state": {}}


def send(_: object) -> Any:
    """Send a message at once."""
    return _Sent()


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
    hot_path = cast("HotPath", edge._hot_path)  # noqa: SLF001
    sent: list[Any] = []

    async def keep(message: Any) -> None:
        sent.append(message)

    for _ in range(2):
        await edge(make_scope(path), NOBODY, keep)
    start, body = sent[-2:]
    plain, rich = make_scope(path), make_scope(path, *MORE)
    known = make_scope(path, (b"if-none-match", dict(start["headers"])[b"etag"]))
    key: Any = ("GET", path.encode(), b"", b"Bearer key", None, None, None, None)
    memo = cast("Any", hot_path._memos.recall(key))  # noqa: SLF001
    now = hot_path._unix_ms()  # noqa: SLF001

    async def bare(_: object, __: object, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": start["headers"]})
        await send({"type": "http.response.body", "body": body["body"], "more_body": False})

    def ask(request: Any) -> Callable[[], object]:
        return lambda: run(edge(request, NOBODY, send))

    steps: dict[str, Callable[[], object]] = {
        "a bare application that sends the same": lambda: run(bare(plain, NOBODY, send)),
        "know the request again": lambda: hot_path._raw_requests.recall(("GET", path.encode(), b"", *HEADERS)),  # noqa: SLF001
        "or read its headers": lambda: read_plain_headers(HEADERS),
        "find the memo": lambda: hot_path._memos.recall(key),  # noqa: SLF001
        "see that memory still has the snapshot": lambda: hot_path._is_current(memo.snapshot),  # noqa: SLF001
        "count it": lambda: memo.series.count(0.00001, 1_000),
        "name it": lambda: hot_path._request_ids.name(None),  # noqa: SLF001
        "age it, once a second": lambda: hot_path._renew(memo, key, plain, now),  # noqa: SLF001
        "**a hot read through the edge**": ask(plain),
        "**the same, 304**": ask(known),
        "**the same with four more headers**": ask(rich),
    }
    print_table(steps, ask(plain), callers)


if __name__ == "__main__":
    asyncio.run(main())
