"""The secrets stay in: every path is walked, rightly and wrongly, and they are then looked for in all that came out."""

import asyncio
import base64
import itertools
import re
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote

import httpx
import pytest

from app.redis.embedded import EmbeddedValkey
from app.settings.sections import TelemetrySettings
from sandbox import Fault, Sandbox
from tests.support.collector import collector
from tests.support.fork_server import inherited
from tests.support.gateway import KEY, TOKEN, Gateway, newcomer, run_gateway
from tests.support.polling import ask_until, is_ok
from tests.support.processes import left_in, processes_of
from tests.support.raw_http import connect
from tests.support.valkey import Valkey, run_valkey

API_KEY = "canary-key-77ab"
API_SECRET = "canary-secret-c2e9"
SOURCES: dict[str, dict[str, object]] = {
    "a_value": {},
    "minted": {"upstream_token": None, "upstream_api_key": API_KEY, "upstream_api_secret": API_SECRET},
}

PATHS = (
    "/v1/merchants/12345/balances/NONE",
    "/v1/merchants/999/balances",
    "/v1/merchants/007/balances",
    "/v1/portfolio?assets=USDT&nonzero=true",
    "/v1/portfolio?unknown=1",
    "/v1/balances?merchantId=12345,999",
    "/v2/assets/account/assets?merchantId=12345",
    "/v2/assets/account/assets?merchantId=0",
    "/v2/assets/account/assets?merchantId=x",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/problems",
    "/problems/token-refused",
    "/nowhere",
)
"""What the OpenAPI document does not tell: oddities, and what it leaves out."""

EXAMPLES = {"merchantId": "12345", "assetId": "USDT"}
FETCHED = ("/v1/merchants/12345/balances", "/v2/assets/account/assets?merchantId=0")
HEADERS: tuple[dict[str, str], ...] = (
    {"Authorization": f"Bearer {KEY}"},
    {"X-BH-TOKEN": KEY},
    {"X-BH-TOKEN": "wrong"},
    {},
    {"Authorization": f"Bearer {KEY}", "Cache-Control": "no-cache", "X-Request-Id": "walk", "Accept": "text/html"},
    {"Authorization": f"Bearer {KEY}", "Cache-Control": "max-age=x", "Accept-Encoding": "br, gzip"},
)
NEWEST = HEADERS[4]
FIELDS: dict[str, dict[str, Any]] = {
    "latency": {"seconds": 0.01},
    "status": {"status": 500},
    "redirect": {"location": "http://127.0.0.1:9/"},
    "code": {"code": -5033},
    "amount": {"value": "NaN"},
    "gzip-bomb": {"megabytes": 5},
}
KINDS = [kind.__struct_config__.tag for kind in get_args(Fault)]
CRASH = """
import app.upstream.transport

def crash(*_):
    raise RuntimeError("forced, where the secret has just been sent")

app.upstream.transport.UpstreamResponse = crash
"""


def disguises(secret: str) -> list[str]:
    """A secret as it is, and as something that means no harm might write it down."""
    encoded = secret.encode()
    return [secret, secret[::-1], base64.b64encode(encoded).decode(), encoded.hex(), quote(secret, safe="")]


def occurrences(texts: Iterable[str], secrets: Iterable[str] = (TOKEN,)) -> list[str]:
    """The texts in which a secret stands, in whatever disguise."""
    wanted = [each.lower() for secret in secrets for each in disguises(secret)]
    return [text for text in texts if any(map(text.lower().__contains__, wanted))]


def whole(answer: httpx.Response) -> str:
    """An answer as text, headers and body."""
    return "\n".join([*(f"{name}: {value}" for name, value in answer.headers.multi_items()), answer.text])


@asynccontextmanager
async def monitored(server: Valkey) -> AsyncIterator[list[str]]:
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


async def paths_of(client: httpx.AsyncClient) -> list[str]:
    """All paths that the service tells of, with examples for their parameters, and those that it does not."""
    document = (await client.get("/openapi.json")).json()
    told = [re.sub(r"\{(\w+)\}", lambda name: EXAMPLES.get(name[1], "1"), path) for path in document["paths"]]
    assert {"/v1/merchants/12345/balances", "/v1/portfolio", "/health/ready"} <= set(told)
    return [*told, *PATHS]


async def use_everything(gateway: Gateway, upstream: Sandbox) -> list[str]:
    """Walk every path in every way, then with every fault on; give all answers."""
    answers = []
    async with newcomer(gateway.url) as client:
        for path, headers in itertools.product(await paths_of(client), HEADERS):
            answers.append(whole(await client.get(path, headers=headers)))
            answers.append(whole(await client.head(path, headers=headers)))
        for kind, path in zip(KINDS, itertools.cycle(FETCHED), strict=False):
            with upstream.fault(kind, **FIELDS.get(kind, {})):  # so few calls that the breaker stays closed
                answers.append(whole(await client.get(path, headers=NEWEST)))
                answers.append(whole(await client.get("/health/ready")))
            await ask_until(lambda: client.get("/v1/portfolio", headers=NEWEST), is_ok)
        answers.append(whole(await client.post(FETCHED[0], headers=HEADERS[0], content=b"{}")))
    async with connect(gateway.url) as wire:
        wire.send(b"nonsense\r\n\r\n")
        answers.append((await wire.everything()).decode("latin-1"))
    return answers


async def dump(server: Valkey) -> list[str]:
    """All keys and values, and what Redis itself writes down."""
    async with server.client() as redis:
        await redis.config_set("rdbcompression", "no")  # so that a value stands in its dump as it is
        keys = [key async for key in redis.scan_iter()]
        values = [(await redis.dump(key) or b"").decode("latin-1") for key in keys]
        return [*map(str, keys), *values, str(await redis.slowlog_get(1000)), str(await redis.client_list())]


@asynccontextmanager
async def own_upstream() -> AsyncIterator[tuple[Sandbox, list[str]]]:
    """An upstream that knows the canaries, and a list of all secrets there are, which grows as it mints."""
    async with Sandbox(scenario="document", token=TOKEN, api_key=API_KEY, api_secret=API_SECRET) as upstream:
        secrets = [TOKEN, API_KEY, API_SECRET]
        mint = upstream.tokens.mint

        def mint_and_note() -> Any:
            minted = mint()
            secrets.append(minted.token)
            return minted

        upstream.tokens.mint = mint_and_note  # type: ignore[method-assign]
        yield upstream, secrets


@pytest.mark.parametrize("source", SOURCES)
async def test_the_secrets_leave_only_to_the_upstream(source: str, tmp_path: Path, private_tmp: Path) -> None:
    async with AsyncExitStack() as stack:
        upstream, secrets = await stack.enter_async_context(own_upstream())
        server = await stack.enter_async_context(run_valkey())
        commands = await stack.enter_async_context(monitored(server))
        where, traces = await stack.enter_async_context(collector())
        async with run_gateway(
            upstream,
            tmp_path,
            environment={"TMPDIR": str(private_tmp), "TALLYGATE_OTLP_ENDPOINT": where},
            redis_url=server.url,
            redis_timeout_seconds=5,
            upstream_timeout_seconds=1,
            stale_while_revalidate_seconds=1,
            log_level="debug",
            audit="all",
            **SOURCES[source],  # type: ignore[arg-type]
        ) as gateway:
            answers = await use_everything(gateway, upstream)
            assert upstream.counters.by_status[200] > 0  # the upstream lets nobody in without it
            kept = await dump(server)
            command_lines = [sighting.command for sighting in processes_of(private_tmp)]
            written = left_in(private_tmp)
        _assert_all_was_seen(answers, kept, commands, command_lines, gateway)
        assert (len(secrets) > 3) == (source == "minted")
        assert traces or "otlp_endpoint" not in TelemetrySettings.__struct_fields__
        out = [*answers, *traces, *kept, *commands, *command_lines, *written, *gateway.lines, gateway.output]
        assert occurrences(out, secrets) == []


def _assert_all_was_seen(
    answers: Collection[str],
    kept: Collection[str],
    commands: Collection[str],
    command_lines: Collection[str],
    gateway: Gateway,
) -> None:
    assert len(answers) > 250
    assert len(command_lines) >= 2
    assert any("12345" in each for each in kept)
    assert any("EVALSHA" in each for each in commands)
    failed = {line["error"] for line in gateway.named("upstream.failed")}
    assert failed > {"TokenRefused", "MalformedAnswer", "Unreachable"}


@pytest.mark.parametrize("source", SOURCES)
async def test_a_crash_where_the_secret_was_just_sent_shows_no_secret(
    source: str, valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(CRASH)
    async with own_upstream() as (upstream, secrets):
        async with run_gateway(
            upstream,
            tmp_path,
            environment={"PYTHONPATH": f"{tmp_path}:{inherited()['PYTHONPATH']}"},
            redis_url=valkey.url,
            log_level="debug",
            upstream_timeout_seconds=1,
            **SOURCES[source],  # type: ignore[arg-type]
        ) as gateway:
            answers = [whole(await gateway.get(path)) for path in FETCHED]
        told = [*answers, *gateway.lines, gateway.output]
        assert any("RuntimeError: forced" in line for line in told)
        assert upstream.counters.total >= 1
        assert occurrences(told, secrets) == []


async def test_the_search_finds_the_token_where_it_must_be(tmp_path: Path) -> None:
    received: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listener, Sandbox() as unused:
        url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        async with run_gateway(unused, tmp_path, upstream_url=url) as gateway:
            await gateway.get("/v1/portfolio")
    (request,) = received
    assert occurrences([request]) == [request]
    name = next(line.partition(":")[0] for line in request.splitlines() if TOKEN in line)
    assert name.lower() == "x-bh-token"
    assert request.count(TOKEN) == 1
    assert TOKEN not in request.splitlines()[0]


@pytest.mark.parametrize("disguise", disguises(TOKEN))
def test_the_search_sees_through_disguises(disguise: str) -> None:
    assert occurrences([f"some {disguise.upper()} text", "nothing"]) == [f"some {disguise.upper()} text"]
