"""One opaque value that all replicas share through Redis. By a lease, only one replica creates a new one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import structlog

from app.balances.snapshots import AccountId
from app.decoding import Undecodable, decode_json
from app.errors import TallygateError, TokenRefused, Unreachable
from app.fleet.bus import Failure
from app.fleet.lease import LEASE_MS, RENEW_SECONDS
from app.redis import lua
from app.redis.client import RedisFailure
from app.redis.shared import Shared

_POLL_SECONDS: Final = 0.05
_FAILURE_MS: Final = 1000

log = structlog.get_logger()

Created = tuple[bytes, int, int]
"""A new value, the milliseconds for which it is valid, and those in which no other shall be created."""

Create = Callable[[], Awaitable[Created]]
GetShared = Callable[[bytes, Create], Awaitable[tuple[bytes, int]]]
"""See `SharedValue.get_or_create`."""


class SharedValue:
    """Keep a value under `name` for all replicas, as long as it is valid.

    The name has a part in braces, so that value and lease lie in one slot of a cluster.
    """

    def __init__(self, shared: Shared, name: str) -> None:
        self._redis_client: Final = shared.client
        self._keys: Final = [f"{shared.key_prefix}:{name}", f"{shared.key_prefix}:{name}:lease"]
        self._replica_id: Final = shared.replica_id
        self._get_script: Final = shared.client.client.register_script(lua.SHARED_GET)
        self._set_script: Final = shared.client.client.register_script(lua.SHARED_SET)
        self._fail_script: Final = shared.client.client.register_script(lua.SHARED_FAIL)
        self._renew_script: Final = shared.client.client.register_script(lua.RENEW_LEASE)

    async def get_or_create(self, unwanted: bytes, create: Create) -> tuple[bytes, int]:
        """Return a value other than the unwanted one, and the milliseconds for which it is valid.

        Of all replicas that want a new one, one creates it and the others wait. Without Redis each creates its own.
        Raises what `create` raised, at whichever replica.
        """
        arguments = [self._replica_id, LEASE_MS, unwanted]
        while True:
            found = await self._redis_client.execute(
                lambda: self._get_script(keys=self._keys, args=arguments), writes=True
            )
            if isinstance(found, RedisFailure):
                value, left_ms, _ = await create()
                return value, left_ms
            match found:
                case [b"kept", value, left_ms]:
                    return value, left_ms
                case [b"ours", *_]:
                    return await self._create_for_all(create)
                case [b"failed", failure, _]:
                    raise _decode_failure(failure)
            await asyncio.sleep(_POLL_SECONDS)

    async def _create_for_all(self, create: Create) -> tuple[bytes, int]:
        renewal = asyncio.create_task(self._keep_lease())
        try:
            value, left_ms, rest_ms = await create()
        except TallygateError as error:
            failure = _encode_failure(error)
            await self._redis_client.execute(
                lambda: self._fail_script(keys=self._keys[1:], args=[self._replica_id, failure, _FAILURE_MS])
            )
            raise
        finally:
            renewal.cancel()
        failure = _encode_failure(TokenRefused("The upstream made a new token just now, and refuses that one too."))
        arguments = [self._replica_id, value, left_ms, rest_ms, failure]
        await self._redis_client.execute(lambda: self._set_script(keys=self._keys, args=arguments))
        return value, left_ms

    async def _keep_lease(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            await self._redis_client.execute(
                lambda: self._renew_script(keys=self._keys[1:], args=[self._replica_id, LEASE_MS])
            )


def _encode_failure(error: TallygateError) -> bytes:
    return msgspec.json.encode(Failure.of(AccountId("token"), error))


def _decode_failure(failure: bytes) -> TallygateError:
    try:
        return decode_json(failure, Failure).to_error()
    except Undecodable as error:
        log.warning("failure.unreadable", reason=str(error))  # at most once a second: so long is a failure kept
        return Unreachable("Another replica could not get a token.")
