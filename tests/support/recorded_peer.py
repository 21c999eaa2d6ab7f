"""A replica of an earlier version, reduced to what it says: it knows the recorded forms, and none of today's code."""

import asyncio
import hashlib
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from redis.asyncio import Redis

from tests.support.gateway import PATIENCE_SECONDS

PEER = "0123456789abcdef0123456789abcdef"
"""The peer's id: that of every replica is 32 digits of hex."""


def entry_form(merchant: int, as_of: int, total: str = "41.5") -> bytes:
    """Write an entry of one asset."""
    row = b'{"assetId":"BTC","asset":"BTC","assetName":"BTC","total":"%b","free":"%b","locked":"0"}'
    amount = total.encode()
    form = b'{"type":"balances","key":"%d","asOf":%d,"canDeposit":true,"balances":[%b],"anomalies":[]}'
    return form % (merchant, as_of, row % (amount, amount))


def entry_message(entry: bytes, sender: str = PEER) -> bytes:
    """Write the message that tells of an entry."""
    return b'{"sender":"%b","entry":%b}' % (sender.encode(), entry)


def failure_message(merchant: int, error: str, detail: str, sender: str = PEER) -> bytes:
    """Write the message that tells why there is no entry."""
    failure = b'{"key":"%d","error":"%b","detail":"%b","retryAfterSeconds":null,"code":null}'
    written = failure % (merchant, error.encode(), detail.encode())
    return b'{"sender":"%b","entry":null,"failure":%b,"freed":null}' % (sender.encode(), written)


def released_message(merchant: int, sender: str = PEER) -> bytes:
    """Write the message that tells of a lease that was given back."""
    return b'{"sender":"%b","entry":null,"failure":null,"freed":"%d"}' % (sender.encode(), merchant)


class Peer:
    """Read and write what the replicas of one upstream share."""

    def __init__(self, redis: Redis, upstream_url: str) -> None:
        self.redis: Any = redis
        self.prefix = f"tallygate:2:{hashlib.sha256(upstream_url.encode()).hexdigest()[:12]}"

    def key(self, name: object) -> str:
        """Name what is kept of a merchant, or of something else."""
        return f"{self.prefix}:{{{name}}}"

    async def lease(self, merchant: int) -> None:
        """Take the lease of a merchant, for much longer than a test takes."""
        assert await self.redis.set(f"{self.key(merchant)}:lease", PEER, nx=True, px=600_000)

    async def count_scripts(self) -> int:
        """Count the scripts that this Redis has run for any client."""
        stats = await self.redis.info("commandstats")
        found = [stats.get(f"cmdstat_{name}", {}) for name in ("eval", "evalsha")]
        return sum(one.get("calls", 0) - one.get("failed_calls", 0) for one in found)

    async def publish(self, message: bytes) -> None:
        """Publish a message on the bus."""
        await self.redis.publish(f"{self.prefix}:bus", message)

    async def publish_until_over(self, task: asyncio.Task[Any], message: bytes) -> None:
        """Publish a message until somebody who waits for it has got it."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not task.done():
                await self.publish(message)
                await asyncio.wait([task], timeout=0.02)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Callable[[], Any]]:
        """Listen to the bus, and give what waits for the next message there."""
        async with self.redis.pubsub() as pubsub:
            await pubsub.subscribe(f"{self.prefix}:bus")
            messages = (message["data"] async for message in pubsub.listen() if message["type"] == "message")
            yield messages.__anext__

    async def list_keys(self) -> dict[str, str]:
        """Name the keys that there are, without what differs from run to run, and the type of each value."""
        names = [name.decode() for name in await self.redis.keys("*")]
        types = [(await self.redis.type(name)).decode() for name in names]
        return {
            re.sub(r"[0-9a-f]{16,}", "<hex>", name.removeprefix(self.prefix)): kind
            for name, kind in zip(names, types, strict=True)
        }


class PeerSeal:
    """Seal and open the token that the fleet shares, as it was sealed by an earlier version."""

    def __init__(self, upstream_url: str, api_key: str, api_secret: str) -> None:
        self._secret = api_secret.encode()
        self._purpose = f"the token of {upstream_url} for {hashlib.sha256(api_key.encode()).hexdigest()}".encode()
        self._cipher = AESGCM(self._derive(b"seal:", 32))
        self.name = self._derive(b"name:", 8).hex()

    def seal(self, token: str, life_seconds: float) -> bytes:
        nonce = os.urandom(12)
        content = b'{"token":"%b","lifeSeconds":%b}' % (token.encode(), str(life_seconds).encode())
        return nonce + self._cipher.encrypt(nonce, content, self._purpose)

    def open(self, sealed: bytes) -> bytes:
        return self._cipher.decrypt(sealed[:12], sealed[12:], self._purpose)

    def _derive(self, use: bytes, length: int) -> bytes:
        return HKDF(SHA256(), length, salt=None, info=b"tallygate/1/" + use + self._purpose).derive(self._secret)
