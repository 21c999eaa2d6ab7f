"""Which client for the upstream: CPU and wall time of a call by httpx, by aiohttp, and over our own connections.

Run: .venv/bin/python -m bench.transport
"""

import asyncio
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager

import aiohttp
import httpx

from app.egress.pool import PoolOptions
from app.egress.trust import trust_authorities
from app.secret import Secret
from app.upstream.transport import TOKEN_HEADER, SecretHeader, Transport

CALLS = 600
ROUNDS = 5
LATENCY_MS = 50
PATH = "/v2/assets/account/assets"
TOKEN = Secret("sandbox-token")

Call = Callable[[str], Awaitable[bytes]]
Client = Callable[[str, int], AbstractAsyncContextManager[Call]]


@asynccontextmanager
async def _httpx(url: str, connections: int) -> AsyncIterator[Call]:
    transport = httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=connections))
    async with httpx.AsyncClient(base_url=url, transport=transport, timeout=30, trust_env=False) as client:

        async def call(merchant: str) -> bytes:
            answer = await client.get(PATH, params={"merchantId": merchant}, headers={TOKEN_HEADER: TOKEN.reveal()})
            return answer.content

        yield call


@asynccontextmanager
async def _aiohttp(url: str, connections: int) -> AsyncIterator[Call]:
    async with aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=connections)) as session:

        async def call(merchant: str) -> bytes:
            headers = {TOKEN_HEADER: TOKEN.reveal()}
            async with session.get(PATH, params={"merchantId": merchant}, headers=headers) as answer:
                return await answer.read()

        yield call


@asynccontextmanager
async def _ours(url: str, _: int) -> AsyncIterator[Call]:
    shown = SecretHeader(TOKEN_HEADER, TOKEN)
    async with Transport(url, PoolOptions(trust_authorities, 300, time.monotonic, lambda: 0.5)) as transport:

        async def call(merchant: str) -> bytes:
            return (await transport.get(PATH, {"merchantId": merchant}, shown)).body

        yield call


CLIENTS: dict[str, Client] = {"httpx": _httpx, "aiohttp": _aiohttp, "ours": _ours}


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


async def measure(url: str, client: Client, concurrency: int) -> tuple[float, float]:
    """Give CPU and wall milliseconds a call."""
    places = asyncio.Semaphore(concurrency)
    async with client(url, concurrency) as call:

        async def ask(number: int) -> None:
            async with places:
                assert json.loads(await call(str(10001 + number % 50)))["code"] == 200

        await asyncio.gather(*(ask(number) for number in range(concurrency)))
        cpu, wall = _cpu(), time.perf_counter()
        await asyncio.gather(*(ask(number) for number in range(CALLS)))
        return (_cpu() - cpu) / CALLS * 1000, (time.perf_counter() - wall) / CALLS * 1000


def main() -> None:
    """Print a table of medians with their spread, rounds interleaved."""
    print(f"{CALLS} calls of an upstream that takes {LATENCY_MS} ms, {ROUNDS} rounds interleaved; milliseconds a call")
    print("concurrency  transport  CPU median (min-max)   wall median   wall over the wire's floor")
    with upstream() as url:
        for concurrency in (16, 100):
            seen: dict[str, list[tuple[float, float]]] = {name: [] for name in CLIENTS}
            for _ in range(ROUNDS):
                for name, client in CLIENTS.items():
                    seen[name].append(asyncio.run(measure(url, client, concurrency)))
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
