"""Where the CPU time of a hot read goes, in microseconds by step: the real front over the real cache, without a server.

Run: .venv/bin/python -m bench.hot_profile
"""

import asyncio
import time
from collections.abc import Callable
from random import Random
from typing import Any, Final, cast

from app.access.callers import Caller, Callers, authorise, hash_key
from app.api.answers import Wish, render_answer, render_sheet
from app.api.front import Front, _read_key, _read_plain, _read_target, _read_wish
from app.api.replies import RawReply
from app.api.request_ids import RequestIds
from app.api.shelf import Shelf
from app.api.views import AccountView
from app.cache.cache import Cache
from app.cache.freshness import Policy, Terms
from app.cache.memory import MemoryTier
from app.desk import Desk, Told
from app.telemetry.metrics import Metrics
from bench.memory import ASSETS, make_snapshots

CALLS: Final = 20_000
ROUNDS: Final = 7
POLICY: Final = Policy(5_000, 30_000, 600_000, 10_000)


def measure(step: Callable[[], object]) -> float:
    """Give the microseconds of a step: the least of some rounds, since whatever disturbs only adds."""
    found = []
    for _ in range(ROUNDS):
        began = time.process_time_ns()
        for _ in range(CALLS):
            step()
        found.append((time.process_time_ns() - began) / CALLS / 1000)
    return min(found)


async def main() -> None:
    """Print a table."""
    (snapshot,) = make_snapshots(1, len(ASSETS), Random(1))
    now = snapshot.as_of + 1_000
    memory = MemoryTier(10, 10**9)
    memory.put(snapshot)
    nobody = cast("Any", None)
    cache = Cache(
        memory=memory,
        fleet=nobody,
        backoff=nobody,
        policy=POLICY,
        patience_seconds=5,
        now_ms=lambda: now,
        random=Random(1).random,
    )
    desk, shelf, metrics, ids = Desk(cache), Shelf(10, 10**9), Metrics(), RequestIds(Random(1).getrandbits)
    callers = Callers([Caller("one", hash_key("key"), "all")], workers=1, monotonic=time.monotonic)
    front = Front(
        callers=callers, desk=desk, shelf=shelf, policy=POLICY, metrics=metrics, request_ids=ids, now_ms=lambda: now
    )
    path = f"/v1/merchants/{snapshot.key}/balances"
    sheet = shelf.render((path, ""), snapshot, lambda one: render_sheet(one, AccountView.of(one, lambda _: True)))
    headers = [(b"host", b"127.0.0.1:8080"), (b"authorization", b"Bearer key")]
    scope = {"method": "GET", "raw_path": path.encode(), "query_string": b"", "headers": headers}
    heeded = cast("dict[bytes, bytes]", _read_plain(headers))
    caller = await callers.identify("key")
    told = cast("Told", desk.tell_at_once(snapshot.key, Terms(now)))
    reply = RawReply.of(render_answer(sheet, told.served, POLICY, now, Wish()))
    sheet.remember(1, Wish(), reply)
    steps: dict[str, Callable[[], object]] = {
        "which account": lambda: _read_target(path, ""),
        "which headers": lambda: _read_plain(headers),
        "who is it": lambda: callers.recall(_read_key(heeded)),
        "may they": lambda: authorise(caller, snapshot.key),
        "how fast": lambda: callers.admit(caller),
        "is there an answer, how old": lambda: desk.tell_at_once(snapshot.key, Terms(now)),
        "is its sheet the current one": lambda: shelf.find((path, ""), snapshot),
        "in which form": lambda: sheet.recall(1, _read_wish(heeded)),
        "count it": lambda: metrics.hot(path, "GET", 200, 0.00001, 1_000),
        "sign it": lambda: front._sign(reply, (), None, bodiless=False),  # noqa: SLF001
        "all together": lambda: front.answer(cast("Any", scope), 0.0),
    }
    idle = measure(lambda: None)
    print("| step | µs |\n|---|--:|")
    for name, step in steps.items():
        print(f"| {name} | {measure(step) - idle:.2f} |")


if __name__ == "__main__":
    asyncio.run(main())
