"""The whole portfolio over real gateways and the simulated upstream: when it is whole, for how many calls, how quickly it answers.

Run: .venv/bin/python -m bench.portfolio [--merchants=2001] [--rate=50] [--replicas=2] [--seconds=100] [--every=3] [--limit=100]
"""

import argparse
import asyncio
import logging
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import Any, Final

import structlog
from msgspec import Struct, field

from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.gateway import TOKEN, Gateway, run_gateway

_PATH: Final = "/v1/portfolio/merchants"
_UPSTREAM_SECONDS: Final = 0.05


class Seen(Struct):
    """What callers saw: how long answers took, when the first whole one came and for how many calls, and gaps after it."""

    views: list[float] = field(default_factory=list)
    singles: list[float] = field(default_factory=list)
    whole_at: float | None = None
    calls: int = 0
    gaps: int = 0
    oldest: list[float] = field(default_factory=list)


def main() -> None:
    """Run it, and print what was seen."""
    parser = argparse.ArgumentParser()
    for name, default in (("merchants", 2001), ("rate", 50), ("replicas", 2), ("seconds", 100), ("limit", 100)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--every", type=float, default=3)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    logging.disable(logging.WARNING)
    asyncio.run(_run(options))


async def _run(options: argparse.Namespace) -> None:
    with EmbeddedValkey() as valkey, tempfile.TemporaryDirectory() as folder:
        async with Sandbox(merchants=options.merchants, token=TOKEN) as upstream, AsyncExitStack() as stack:
            stack.enter_context(upstream.fault("latency", seconds=_UPSTREAM_SECONDS))
            settings: dict[str, Any] = {"redis_url": valkey.url, "upstream_rate": options.rate}
            gateways = [
                await stack.enter_async_context(run_gateway(upstream, Path(folder), **settings))
                for _ in range(options.replicas)
            ]
            alone = await _read_alone(gateways, upstream)
            seen = await _watch(gateways, upstream, options)
            _print(options, seen, alone)


async def _read_alone(gateways: list[Gateway], upstream: Sandbox) -> float:
    """Measure a single read as long as nobody asks for all."""
    times = [await _read_one(gateways[0], upstream.world.merchant_ids[0]) for _ in range(5)]
    return median(times)


async def _watch(gateways: list[Gateway], upstream: Sandbox, options: argparse.Namespace) -> Seen:
    seen, began = Seen(), time.monotonic()
    calls_before = upstream.counters.balance_calls
    singles = asyncio.create_task(_read_singles(gateways, upstream, seen))
    turn = 0
    while (elapsed := time.monotonic() - began) < options.seconds:
        asked = time.monotonic()
        answer = await gateways[turn % len(gateways)].get(f"{_PATH}?limit={options.limit}")
        seen.views.append(time.monotonic() - asked)
        body = answer.json()
        print(
            f"{elapsed:6.1f} s  {body['coverage']}  {answer.headers.get('Sweep')}  took {seen.views[-1]:.3f} s",
            flush=True,
        )
        if body["complete"] and seen.whole_at is None:
            seen.whole_at = time.monotonic() - began
            seen.calls = upstream.counters.balance_calls - calls_before - len(seen.singles)
        elif seen.whole_at is not None:
            seen.gaps += not body["complete"]
            seen.oldest.append(float(answer.headers["Age"]))
        turn += 1
        await asyncio.sleep(max(0.0, options.every - (time.monotonic() - asked)))
    singles.cancel()
    await asyncio.wait([singles])
    return seen


async def _read_singles(gateways: list[Gateway], upstream: Sandbox, seen: Seen) -> None:
    """Read single merchants afresh, one after another."""
    for number, merchant in enumerate(upstream.world.merchant_ids * 100):
        await asyncio.sleep(1)
        seen.singles.append(await _read_one(gateways[number % len(gateways)], merchant))


async def _read_one(gateway: Gateway, merchant: int) -> float:
    began = time.monotonic()
    answer = await gateway.get(f"/v1/merchants/{merchant}/balances", cache_control="no-cache")
    answer.raise_for_status()
    return time.monotonic() - began


def _print(options: argparse.Namespace, seen: Seen, alone: float) -> None:
    floor = options.merchants / options.rate
    print(f"floor {floor:.1f} s; whole after {seen.whole_at and round(seen.whole_at, 1)} s")
    print(f"calls a merchant until then {seen.calls / options.merchants:.3f}; answers with a gap after it {seen.gaps}")
    print(f"oldest part after it {max(seen.oldest, default=0):.0f} s")
    print(f"views: median {median(seen.views):.3f} s, longest {max(seen.views):.3f} s")
    print(
        f"single read alone {alone:.3f} s; beside it median {median(seen.singles):.3f} s, longest {max(seen.singles):.3f} s"
    )


if __name__ == "__main__":
    main()
