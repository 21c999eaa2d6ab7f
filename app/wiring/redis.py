"""Wiring of Redis: the client, and the keys of one upstream in it."""

import hashlib
from uuid import uuid4

from app.cache.redis_tier import SCHEMA
from app.errors import StartError
from app.redis.client import RedisClient
from app.redis.connections import connect
from app.redis.shared import Shared
from app.resilience.circuit_breaker import CircuitBreaker
from app.runtime import Runtime
from app.settings.sections import RedisSettings


def build_redis(settings: RedisSettings, upstream_url: str, runtime: Runtime, *, plain: bool) -> Shared:
    """Build what the replicas of one upstream share. Raises `StartError`."""
    # The upstream's fingerprint keeps the balances of different ones apart in one Redis.
    fingerprint = hashlib.sha256(upstream_url.rstrip("/").encode()).hexdigest()[:12]
    client, key_prefix = build_redis_client(settings, runtime, plain=plain), f"tallygate:{SCHEMA}:{fingerprint}"
    return Shared(client, key_prefix, uuid4().hex, tasks={"link": client.probe_while_lost}, close=client.close)


def build_redis_client(settings: RedisSettings, runtime: Runtime, *, plain: bool = False) -> RedisClient:
    """Build a client that connects when it is first used. Raises `StartError`."""
    if settings.url is None:
        raise StartError(
            "There is no Redis: `tallygate serve` starts one of its own where TALLYGATE_REDIS_URL is unset."
        )
    try:
        client = connect(settings.url.reveal(), settings.timeout_seconds, plain=plain)
    except ValueError:
        raise StartError(
            "TALLYGATE_REDIS_URL wants redis://, rediss:// or unix://, or redis+sentinel:// or redis+cluster://."
        ) from None
    breaker = CircuitBreaker(runtime, threshold=3, first_pause_seconds=0.25, longest_pause_seconds=2)
    return RedisClient(client, breaker=breaker, timeout_seconds=settings.timeout_seconds, runtime=runtime)
