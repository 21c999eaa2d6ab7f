"""The vault: one value of the whole fleet, which it cannot read, and the lease by which one replica makes a new one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from app.balances.snapshots import AccountId
from app.errors import TallygateError, TokenRefused, Unreachable
from app.fleet.bus import Failure, tell
from app.fleet.lease import LEASE_MS, RENEW_SECONDS
from app.redis import lua as scripts
from app.redis.client import RedisFailure
from app.redis.shared import Shared

_LOOK_SECONDS: Final = 0.05
_FAILURE_MS: Final = 1000

Created = tuple[bytes, int, int]
"""A new value, the milliseconds for which it is good, and those for which no other shall be made."""

Create = Callable[[], Awaitable[Created]]
GetShared = Callable[[bytes, Create], Awaitable[tuple[bytes, int]]]
"""See `SharedValue.get_or_create`."""


class SharedValue:
    """Keep a value under `name` for the replicas that share it. It lasts as long as it is good.

    The name has a part in braces, by which value and lease lie in one slot of a cluster.
    """

    def __init__(self, shared: Shared, name: str) -> None:
        self._redis_client: Final = shared.client
        self._keys: Final = [f"{shared.key_prefix}:{name}", f"{shared.key_prefix}:{name}:lease"]
        self._replica_id: Final = shared.replica_id
        self._open: Final = shared.client.client.register_script(scripts.SHARED_GET)
        self._fill: Final = shared.client.client.register_script(scripts.SHARED_SET)
        self._leave: Final = shared.client.client.register_script(scripts.SHARED_FAIL)
        self._renew: Final = shared.client.client.register_script(scripts.RENEW_LEASE)

    async def get_or_create(self, unwanted: bytes, make: Create) -> tuple[bytes, int]:
        """Give the value, and the milliseconds for which it is good, unless it is the unwanted one: then a new one.

        Of all replicas that want a new one, one makes it; the others wait. Without Redis each makes its own. Raises
        what the making raised, at whichever replica.
        """
        arguments = [self._replica_id, LEASE_MS, unwanted]
        while True:
            found = await self._redis_client.execute(lambda: self._open(keys=self._keys, args=arguments), writes=True)
            if isinstance(found, RedisFailure):
                value, left_ms, _ = await make()
                return value, left_ms
            match found:
                case [b"kept", value, left_ms]:
                    return value, left_ms
                case [b"ours", *_]:
                    return await self._create_for_all(make)
                case [b"failed", why, _]:
                    raise _read(why)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _create_for_all(self, make: Create) -> tuple[bytes, int]:
        keeping = asyncio.create_task(self._keep_lease())
        try:
            value, left_ms, rest_ms = await make()
        except TallygateError as error:
            why = _write(error)
            await self._redis_client.execute(
                lambda: self._leave(keys=self._keys[1:], args=[self._replica_id, why, _FAILURE_MS])
            )
            raise
        finally:
            keeping.cancel()
        why = _write(TokenRefused("The upstream made a new token just now, and refuses that one too."))
        arguments = [self._replica_id, value, left_ms, rest_ms, why]
        await self._redis_client.execute(lambda: self._fill(keys=self._keys, args=arguments))
        return value, left_ms

    async def _keep_lease(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            await self._redis_client.execute(
                lambda: self._renew(keys=self._keys[1:], args=[self._replica_id, LEASE_MS])
            )


def _write(error: TallygateError) -> bytes:
    return msgspec.json.encode(tell(AccountId("token"), error))


def _read(why: bytes) -> TallygateError:
    try:
        return msgspec.json.decode(why, type=Failure).to_error()
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return Unreachable("Another replica could not get a token.")
