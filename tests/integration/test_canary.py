"""The token stays in: every path is walked, rightly and wrongly, and the token is then looked for in all that came out."""

import asyncio
import base64
import itertools
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote

import httpx
import pytest

from sandbox import Fault, Sandbox
from tests.support.gateway import KEY, PATIENCE_SECONDS, TOKEN, Gateway, run_gateway
from tests.support.programs import left_in, processes_of
from tests.support.servers import OwnValkey, own_valkey
from tests.support.wires import connect

DISGUISES = (TOKEN, TOKEN[::-1], base64.b64encode(TOKEN.encode()).decode(), TOKEN.encode().hex(), quote(TOKEN, safe=""))
"""The token as it is, and as something that means no harm might write it down."""

PATHS = (
    "/v1/merchants/12345/balances",
    "/v1/merchants/12345/balances/USDT",
    "/v1/merchants/12345/balances/NONE",
    "/v1/merchants/999/balances",
    "/v1/merchants/007/balances",
    "/v1/portfolio",
    "/v1/portfolio?assets=USDT&nonzero=true",
    "/v1/portfolio?unknown=1",
    "/v2/assets/account/assets?merchantId=12345",
    "/v2/assets/account/assets?merchantId=0",
    "/v2/assets/account/assets?merchantId=x",
    "/v2/assets/account/assets",
    "/health/live",
    "/health/ready",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/problems",
    "/problems/token-refused",
    "/nowhere",
)
HEADERS: tuple[dict[str, str], ...] = (
    {"Authorization": f"Bearer {KEY}"},
    {"X-BH-TOKEN": KEY},
    {"X-BH-TOKEN": "wrong"},
    {},
    {"Authorization": f"Bearer {KEY}", "Cache-Control": "no-cache", "X-Request-Id": "walk", "Accept": "text/html"},
    {"Authorization": f"Bearer {KEY}", "Cache-Control": "max-age=x", "Accept-Encoding": "br, gzip"},
)
FIELDS: dict[str, dict[str, Any]] = {
    "latency": {"seconds": 0.01},
    "status": {"status": 500},
    "redirect": {"location": "http://127.0.0.1:9/"},
    "code": {"code": -5033},
    "amount": {"value": "NaN"},
}
KINDS = [kind.__struct_config__.tag for kind in get_args(Fault)]


def occurrences(texts: Iterable[str], wanted: Iterable[str] = DISGUISES) -> list[str]:
    """The texts in which the token stands, in whatever disguise."""
    return [text for text in texts if any(each.lower() in text.lower() for each in wanted)]


def whole(answer: httpx.Response) -> str:
    """An answer as text, headers and body."""
    return "\n".join([*(f"{name}: {value}" for name, value in answer.headers.multi_items()), answer.text])


@asynccontextmanager
async def monitored(server: OwnValkey) -> AsyncIterator[list[str]]:
    """Collect every command that Redis gets, with all its arguments."""
    commands: list[str] = []
    async with server.client() as redis, redis.monitor() as monitor:

        async def collect() -> None:
            async for command in monitor.listen():
                commands.append(command["command"])  # noqa: PERF401  # it has no end, and is looked at before

        collecting = asyncio.create_task(collect())
        yield commands
        assert not collecting.done(), collecting
        collecting.cancel()
        await asyncio.wait([collecting])


async def walk(gateway: Gateway, upstream: Sandbox) -> list[str]:
    """Walk every path in every way, then with every fault on; give all answers."""
    answers = []
    async with httpx.AsyncClient(base_url=gateway.url, timeout=30) as client:
        for path, headers in itertools.product(PATHS, HEADERS):
            answers.append(whole(await client.get(path, headers=headers)))
            answers.append(whole(await client.head(path, headers=headers)))
        for kind in KINDS:
            with upstream.fault(kind, **FIELDS.get(kind, {})):
                answers += [whole(await client.get(path, headers=HEADERS[4])) for path in (PATHS[0], PATHS[9])]
            async with asyncio.timeout(PATIENCE_SECONDS):  # so that each fault is met, and not an open breaker
                while (await client.get("/v1/portfolio", headers=HEADERS[4])).status_code != 200:
                    pass
        answers.append(whole(await client.post(PATHS[0], headers=HEADERS[0], content=b"{}")))
    async with connect(gateway.url) as wire:
        wire.send(b"nonsense\r\n\r\n")
        answers.append((await wire.everything()).decode("latin-1"))
    return answers


async def dump(server: OwnValkey) -> list[str]:
    """All keys and values, and what Redis itself writes down."""
    async with server.client() as redis:
        await redis.config_set("rdbcompression", "no")  # so that a value stands in its dump as it is
        keys = [key async for key in redis.scan_iter()]
        values = [(await redis.dump(key) or b"").decode("latin-1") for key in keys]
        return [*map(str, keys), *values, str(await redis.slowlog_get(1000)), str(await redis.client_list())]


async def test_the_token_leaves_only_to_the_upstream(
    shared_upstream: Sandbox, tmp_path: Path, private_tmp: Path
) -> None:
    async with (
        own_valkey(tmp_path) as server,
        monitored(server) as commands,
        run_gateway(
            shared_upstream,
            tmp_path,
            environment={"TMPDIR": str(private_tmp)},
            redis_url=server.url,
            redis_timeout_seconds=5,
            upstream_timeout_seconds=1,
            stale_while_revalidate_seconds=1,
            log_level="debug",
        ) as gateway,
    ):
        shared_upstream.counters.reset()
        answers = await walk(gateway, shared_upstream)
        assert shared_upstream.counters.by_status[200] > 0  # the upstream lets nobody in without it
        kept = await dump(server)
        command_lines = [sighting.command for sighting in processes_of(private_tmp)]
        written = left_in(private_tmp)
    assert len(answers) > 250
    assert len(command_lines) >= 2
    assert any("12345" in each for each in kept)
    assert any("EVALSHA" in each for each in commands)
    assert {line["error"] for line in gateway.named("upstream.failed")} > {
        "TokenRefused",
        "MalformedAnswer",
        "Unreachable",
    }
    out = [*answers, *kept, *commands, *command_lines, *written, *gateway.lines, gateway.output]
    assert occurrences(out) == []


async def test_the_search_finds_the_token_where_it_must_be(tmp_path: Path) -> None:
    received: list[str] = []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(hear, "127.0.0.1", 0) as listener, Sandbox() as unused:
        url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        async with run_gateway(unused, tmp_path, upstream_url=url) as gateway:
            await gateway.get("/v1/portfolio")
    (request,) = received
    assert occurrences([request]) == [request]
    name = next(line.partition(":")[0] for line in request.splitlines() if TOKEN in line)
    assert name.lower() == "x-bh-token"
    assert request.count(TOKEN) == 1
    assert TOKEN not in request.splitlines()[0]


@pytest.mark.parametrize("disguise", DISGUISES)
def test_the_search_sees_through_disguises(disguise: str) -> None:
    assert occurrences([f"some {disguise.upper()} text", "nothing"]) == [f"some {disguise.upper()} text"]
