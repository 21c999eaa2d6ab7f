"""Minimal gateway of Litestar, httpx and Redis, as written in an afternoon. Every request checks its key and reads Redis."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256

import httpx
from litestar import Litestar, Request, Response, get
from litestar.datastructures import State
from litestar.exceptions import NotAuthorizedException
from redis.asyncio import Redis


@get("/v1/merchants/{merchant:int}/balances")
async def read(merchant: int, request: Request[None, None, State], state: State) -> Response[bytes]:
    """Return the balances from Redis, or fetch them and keep them for five seconds."""
    key = request.headers.get("authorization", "").removeprefix("Bearer ")
    if sha256(key.encode()).hexdigest() != os.environ["PEER_KEY_SHA256"]:
        raise NotAuthorizedException
    body = await state.redis.get(f"balances:{merchant}")
    if body is None:
        answer = await state.upstream.get("/v2/assets/account/assets", params={"merchantId": merchant})
        body = json.dumps({"merchantId": merchant, **answer.raise_for_status().json()["data"]}).encode()
        await state.redis.set(f"balances:{merchant}", body, ex=5)
    return Response(body, media_type="application/json")


@asynccontextmanager
async def connect(app: Litestar) -> AsyncIterator[None]:
    """Keep the connections open while the service runs."""
    headers = {"X-BH-TOKEN": os.environ["PEER_TOKEN"]}
    async with (
        httpx.AsyncClient(base_url=os.environ["PEER_UPSTREAM"], headers=headers) as upstream,
        Redis.from_url(os.environ["PEER_REDIS"]) as redis,
    ):
        app.state.upstream, app.state.redis = upstream, redis
        yield


def load() -> Litestar:
    """Build it."""
    return Litestar([read], lifespan=[connect], openapi_config=None, logging_config=None)
