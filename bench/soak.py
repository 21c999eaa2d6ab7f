"""A long run with faults that come and go: does memory stay flat, does anything leak, does the log say what nobody can explain?

    .venv/bin/python -m bench.soak --seconds 3600

Starts the simulated upstream here, `tallygate serve` with an embedded Valkey as a process, asks it mixed things all the time, and puts a fault on the upstream for a while
every so often. Prints a line every tenth of the time, and at the end what it found; exits with 1 if that is not as it should be.
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
    """Ask one thing after another."""
    while True:
        merchant = merchants[min(int(chance.paretovariate(1)), len(merchants) - 1)]
        path = chance.choice(
            (f"/v1/merchants/{merchant}/balances", "/v1/portfolio", f"/v2/assets/account/assets?merchantId={merchant}")
        )
        control = chance.choice((None, None, None, "no-cache", "max-age=1", "only-if-cached", "max-stale=600"))
        answer = await gateway.client.get(path, headers={"Cache-Control": control} if control else {})
        statuses[answer.status_code] += 1


async def trouble(upstream: Sandbox, seconds: float, chance: random.Random) -> None:
    """Put one fault after another on the upstream, with calm between."""
    while True:
        await asyncio.sleep(seconds)
        kind, fields = chance.choice(FAULTS)
        with upstream.fault(kind, **fields):
            await asyncio.sleep(seconds)


async def soak(seconds: float, callers: int) -> list[str]:
    """Run it and give what is wrong."""
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
            works.append(asyncio.create_task(trouble(upstream, seconds / 40, chance)))
            for _ in range(10):
                await asyncio.sleep(seconds / 10)
                seen.append(await look(gateway, statuses))
            for work in works:
                work.cancel()
            ends = await asyncio.gather(*works, return_exceptions=True)
            await asyncio.sleep(3)
            calm = await look(gateway, statuses)
        failures = [repr(end) for end in ends if not isinstance(end, asyncio.CancelledError)]
        return failures + judge(seen, calm, gateway)


async def look(gateway: Gateway, statuses: Counter[int]) -> Scraped:
    """Scrape and print the figures of this moment."""
    async with httpx.AsyncClient(base_url=gateway.url, timeout=30) as client:
        seen = await scrape(client)
    print(f"{memory(seen):8.1f} MiB {descriptors(seen):5.0f} descriptors", dict(statuses), flush=True)
    return seen


def judge(seen: list[Scraped], calm: Scraped, gateway: Gateway) -> list[str]:
    """Say what is not as it should be: the first three tenths are warming up."""
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
