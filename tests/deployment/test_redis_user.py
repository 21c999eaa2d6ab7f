"""The user that docs/redis.md makes for us can do what the service does, and not what ruins others."""

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from app.redis.embedded import EmbeddedValkey
from app.secret import Secret
from sandbox import Sandbox
from tests.support.manifests import ROOT
from tests.support.service import run_service
from tests.support.valkey import stored_entries


async def test_the_documented_user_is_enough_and_not_too_much(valkey: EmbeddedValkey, upstream: Sandbox) -> None:
    lines = (ROOT / "docs/redis.md").read_text().splitlines()
    (words,) = [line.split() for line in lines if line.startswith("ACL SETUSER")]
    url = valkey.url.replace("unix://", "unix://tallygate:PASSWORD@")
    async with Redis.from_url(valkey.url) as admin, Redis.from_url(url) as user:
        await say(admin, *words)
        try:
            async with run_service(upstream, valkey.url, redis_url=Secret(url)) as service:
                assert (await service.get("/v1/merchants/12345/balances")).status_code == 200
                assert await stored_entries(service.redis, 12345)
                assert (await service.get("/health/ready")).json()["redis"] == "available"
            assert await admin.acl_log() == []
            for command in (("FLUSHALL",), ("GET", "another:key"), ("CONFIG", "GET", "*")):
                with pytest.raises(NoPermissionError):
                    await say(user, *command)
        finally:
            await say(admin, "ACL", "LOG", "RESET")
            await say(admin, "ACL", "DELUSER", "tallygate")


async def say(redis: Redis, *words: str) -> object:
    """Say a command to Redis, word by word."""
    return await redis.execute_command(*words)  # type: ignore[no-untyped-call]
