"""Soak test with recurring faults: memory stays flat, nothing leaks, and the log has no unexplained event.

    .venv/bin/python -m bench.soak --seconds 3600

Runs the simulated upstream in this process and `tallygate serve` with an embedded Valkey in another one. Callers send
mixed requests without pause, and faults of the upstream alternate with calm. Prints a line after each tenth of the time
and the findings at the end. Exits with 1 if there are any.
"""

import argparse
import asyncio
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

import httpx

from sandbox import Sandbox
from tests.support.gateway import TOKEN, Gateway, run_gateway
from tests.support.scrapes import Scraped, scrape

FAULTS: tuple[tuple[str, dict[str, float]], ...] = (
    ("status", {"status": 500}),
    ("close", {}),
    ("latency", {"seconds": 0.3}),
    ("malformed", {}),
    ("hang", {}),
)
EXPLAINED = {
    "upstream.failed",
    "upstream.breaker_opened",
    "upstream.breaker_closed",
    "upstream.anomalies",
    "redis.lost",
    "redis.found",
}
GROWTH = 1.05
MERCHANTS = 300


async def load(gateway: Gateway, statuses: Counter[int], merchants: list[int], chance: random.Random) -> None:
    """Send one random request after another, until cancelled."""
    while True:
        merchant = merchants[min(int(chance.paretovariate(1)), len(merchants) - 1)]
        path = chance.choice(
            (f"/v1/merchants/{merchant}/balances", "/v1/portfolio", f"/v2/assets/account/assets?merchantId={merchant}")
        )
        control = chance.choice((None, None, None, "no-cache", "max-age=1", "only-if-cached", "max-stale=600"))
        answer = await gateway.client.get(path, headers={"Cache-Control": control} if control else {})
        statuses[answer.status_code] += 1


async def inject_faults(upstream: Sandbox, seconds: float, chance: random.Random) -> None:
    """Alternate random faults of the upstream with calm, each for `seconds`, until cancelled."""
    while True:
        await asyncio.sleep(seconds)
        kind, fields = chance.choice(FAULTS)
        with upstream.fault(kind, **fields):
            await asyncio.sleep(seconds)


async def soak(seconds: float, callers: int) -> list[str]:
    """Run the test and return the findings."""
    chance = random.Random(1)
    statuses: Counter[int] = Counter()
    seen: list[Scraped] = []
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        async with (
            Sandbox(scenario="random", merchants=MERCHANTS, token=TOKEN) as upstream,
            run_gateway(
                upstream, Path(folder), upstream_rate=50, upstream_timeout_seconds=2, fresh_seconds=1
            ) as gateway,
        ):
            works = [
                asyncio.create_task(load(gateway, statuses, list(upstream.world.merchant_ids), chance))
                for _ in range(callers)
            ]
            works.append(asyncio.create_task(inject_faults(upstream, seconds / 40, chance)))
            for _ in range(10):
                await asyncio.sleep(seconds / 10)
                seen.append(await sample(gateway, statuses))
            for work in works:
                work.cancel()
            ends = await asyncio.gather(*works, return_exceptions=True)
            await asyncio.sleep(3)
            calm = await sample(gateway, statuses)
        failures = [repr(end) for end in ends if not isinstance(end, asyncio.CancelledError)]
        return failures + find_faults(seen, calm, gateway)


async def sample(gateway: Gateway, statuses: Counter[int]) -> Scraped:
    """Scrape the metrics and print the current figures."""
    async with httpx.AsyncClient(base_url=gateway.url, timeout=30) as client:
        seen = await scrape(client)
    print(f"{memory(seen):8.1f} MiB {descriptors(seen):5.0f} descriptors", dict(statuses), flush=True)
    return seen


def find_faults(seen: list[Scraped], calm: Scraped, gateway: Gateway) -> list[str]:
    """Return the findings. The first three tenths of the time are a warm-up."""
    wrong = []
    if memory(seen[-1]) > GROWTH * memory(seen[2]):
        wrong.append(f"memory grew from {memory(seen[2]):.1f} to {memory(seen[-1]):.1f} MiB")
    if descriptors(calm) > max(descriptors(one) for one in seen[:3]) + 5:
        wrong.append(f"{descriptors(calm):.0f} descriptors are open at the end")
    if calm.value("tallygate_requests_under_way") != 1 or calm.value("tallygate_budget_waiting") != 0:
        wrong.append("requests or calls are still under way")
    loud = Counter(line["event"] for line in gateway.events if line["level"] != "info")
    wrong += [f"{count} times {event}" for event, count in loud.items() if event not in EXPLAINED]
    return wrong


def memory(seen: Scraped) -> float:
    return seen.value("process_resident_memory_bytes") / 1024**2


def descriptors(seen: Scraped) -> float:
    return seen.value("process_open_fds")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--callers", type=int, default=8)
    arguments = parser.parse_args()
    wrong = asyncio.run(soak(arguments.seconds, arguments.callers))
    print("\n".join(wrong) or "All is as it should be.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
