"""The service in this process, spoken to over ASGI."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, MutableMapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

import httpx
from redis.asyncio import Redis

from app.access.callers import Caller, hash_key
from app.access.clients_file import Clients
from app.access.tokens.issuers import Issuer
from app.api.middleware.edge import Edge
from app.balances.snapshots import AccountId
from app.main import create_app
from app.resilience.draining import Drain
from app.secret import Secret
from app.telemetry.exposition import Exposition
from app.telemetry.metrics import Metrics
from sandbox import Sandbox
from tests.support.expired_answers import ageing
from tests.support.settings import make_settings
from tests.support.wire_transport import WireTransport

DEFAULTS: dict[str, Any] = {}
"""Settings of every service that names no others: the tests of the API set `plain` here, and run with it and without."""

KEYS = {name: f"tg_{name}" for name in ("all", "some", "slow")}

CALLERS = (
    Caller("all", hash_key(KEYS["all"]), "all", portfolio=True),
    Caller("some", hash_key(KEYS["some"]), frozenset({AccountId("12345"), AccountId("777")})),
    Caller("slow", hash_key(KEYS["slow"]), "all", portfolio=True, rate=2),
)


class Service:
    """A running service: `client` has the key of a caller who may read everything, `anonymous` has none."""

    def __init__(
        self, client: httpx.AsyncClient, anonymous: httpx.AsyncClient, redis: Redis, upstream: Sandbox
    ) -> None:
        self.client = client
        self.anonymous = anonymous
        self.redis = redis
        self.upstream = upstream

    async def get(self, path: str, caller: str = "all", **headers: str) -> httpx.Response:
        """Ask as a caller; header names are written with underscores."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.anonymous.get(path, headers={"Authorization": f"Bearer {KEYS[caller]}", **sent})

    async def settle(self) -> None:
        """Wait until all is stored that was loaded, as each reader of the past does."""
        await self.get("/v1/changes?merchantId=all&limit=1")


@asynccontextmanager
async def run_service(
    upstream: Sandbox,
    redis_url: str,
    /,
    *,
    more: Iterable[Caller] = (),
    issuers: Iterable[Issuer] = (),
    flush: bool = True,
    **changed: Any,
) -> AsyncIterator[Service]:
    """Run the service against an upstream and an emptied Redis. `changed` are settings, `more` further callers, `issuers` those of tokens."""
    settings = make_settings(
        **{
            "upstream_url": upstream.url,
            "upstream_token": Secret("canary-token-3d1f"),
            "upstream_rate": 1000,
            "redis_url": Secret(redis_url),
            "redis_timeout_seconds": 2,
            "clients_file": "",
            "wrong_keys_rate": 1000,
            **DEFAULTS,
            **changed,
        }
    )
    clients = Clients((*CALLERS, *more), tuple(issuers))
    app = create_app(settings, clients, exposition=Exposition(Metrics(version("tallygate"))), drain=Drain())
    async with Redis.from_url(redis_url) as redis:
        if flush:  # before the service begins, which shares its token there at once
            await redis.flushall()
    async with (
        Redis.from_url(redis_url) as redis,
        lifespan(app),
        _client(app, changed) as anonymous,
        _client(app, changed) as client,
    ):
        client.headers["Authorization"] = f"Bearer {KEYS['all']}"
        yield Service(client, anonymous, redis, upstream)


def _client(app: Edge, settings: Mapping[str, object]) -> httpx.AsyncClient:
    transport = WireTransport(app)
    return httpx.AsyncClient(transport=transport, base_url="http://tallygate.test", event_hooks=ageing(settings))


@asynccontextmanager
async def lifespan(app: Edge) -> AsyncIterator[None]:
    """Start an ASGI application and stop it again, as a server does."""
    to_app: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
    from_app: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    task = asyncio.create_task(app(scope, to_app.get, from_app.put))  # type: ignore[arg-type]
    for word in ("startup", "shutdown"):
        await to_app.put({"type": f"lifespan.{word}"})
        assert (await from_app.get())["type"] == f"lifespan.{word}.complete"
        if word == "startup":
            yield
    await task
