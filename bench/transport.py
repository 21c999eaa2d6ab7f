"""Transports under httpx: CPU and wall time of a call with its own pool, and over aiohttp.

Run: .venv/bin/python -m bench.transport
"""

import asyncio
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import aiohttp
import httpx

from app.egress.transport import AiohttpTransport

CALLS = 600
ROUNDS = 5
LATENCY_MS = 50
TRANSPORTS: dict[str, Callable[[int], httpx.AsyncBaseTransport]] = {
    "httpx": lambda connections: httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=connections)),
    "aiohttp": lambda connections: AiohttpTransport(
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections))
    ),
}


@contextmanager
def upstream() -> Iterator[str]:
    """Run the simulated upstream in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "sandbox",
        "--port=0",
        "--control-port=0",
        f"--latency-ms={LATENCY_MS}",
        "--stop-on-eof",
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
        assert process.stdin is not None
        process.stdin.close()


async def measure(url: str, transport: httpx.AsyncBaseTransport, concurrency: int) -> tuple[float, float]:
    """Return CPU and wall milliseconds of a call."""
    places = asyncio.Semaphore(concurrency)
    async with httpx.AsyncClient(base_url=url, transport=transport, timeout=30, trust_env=False) as client:

        async def call(number: int) -> None:
            async with places:
                params = {"merchantId": str(10001 + number % 50)}
                response = await client.get(
                    "/v2/assets/account/assets", params=params, headers={"X-BH-TOKEN": "sandbox-token"}
                )
                assert response.json()["code"] == 200

        await asyncio.gather(*(call(number) for number in range(concurrency)))
        cpu, wall = _cpu(), time.perf_counter()
        await asyncio.gather(*(call(number) for number in range(CALLS)))
        return (_cpu() - cpu) / CALLS * 1000, (time.perf_counter() - wall) / CALLS * 1000


def main() -> None:
    """Print a table of medians with their spread, rounds interleaved."""
    print(f"{CALLS} calls of an upstream that takes {LATENCY_MS} ms, {ROUNDS} rounds interleaved; milliseconds a call")
    print("concurrency  transport  CPU median (min-max)   wall median   wall over the wire's floor")
    with upstream() as url:
        for concurrency in (16, 100):
            seen: dict[str, list[tuple[float, float]]] = {name: [] for name in TRANSPORTS}
            for _ in range(ROUNDS):
                for name, make in TRANSPORTS.items():
                    seen[name].append(asyncio.run(measure(url, make(concurrency), concurrency)))
            for name, runs in seen.items():
                cpu, wall = ([run[index] for run in runs] for index in (0, 1))
                floor = LATENCY_MS / concurrency
                print(
                    f"{concurrency:>11}  {name:<9}  {statistics.median(cpu):>6.2f} ({min(cpu):.2f}-{max(cpu):.2f})"
                    f"   {statistics.median(wall):>10.2f}   {statistics.median(wall) / floor:>8.2f}"
                )


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
