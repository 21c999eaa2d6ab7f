"""One opaque value that all replicas share through Redis. By a lease, only one replica creates a new one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec
import structlog

from app.balances.snapshots import AccountId
from app.decoding import Undecodable, decode_json
from app.errors import MalformedAnswer, TallygateError, TokenRefused, Unreachable
from app.fleet.bus import Failure
from app.fleet.lease import LEASE_MS, RENEW_SECONDS
from app.redis import lua, lua_shared
from app.redis.client import RedisFailure
from app.redis.results import WrongShape, read_flag
from app.redis.scripts import SingleScript, make_single, run_single
from app.redis.shared import Shared

T = TypeVar("T")

_POLL_SECONDS: Final = 0.05
_FAILURE_MS: Final = 1000
_LONGEST_REST_MS: Final = 60_000
"""No longer may a value keep others from being created, or a failure: after more, Redis' clock went back."""

log = structlog.get_logger()

Created = tuple[bytes, int, int]
"""A new value, the milliseconds for which it is valid, and those in which no other shall be created."""

Create = Callable[[], Awaitable[Created]]
GetShared = Callable[[bytes, Create], Awaitable[tuple[bytes, int]]]
"""See `SharedValue.get_or_create`."""


class SharedValue:
    """Keep a value under `name` for all replicas, as long as it is valid.

    The name has a part in braces, so that value and lease lie in one slot of a cluster. After a `MalformedAnswer` nothing
    is created for `rests` times as long as it took, 60 s at most. So long the error is raised again.
    """

    def __init__(self, shared: Shared, name: str, *, rests: int = 0) -> None:
        self._redis_client: Final = shared.client
        self._keys: Final = [f"{shared.key_prefix}:{name}", f"{shared.key_prefix}:{name}:lease"]
        self._replica_id: Final = shared.replica_id
        self._get_script: Final = make_single(lua_shared.SHARED_GET)
        self._set_script: Final = make_single(lua_shared.SHARED_SET)
        self._fail_script: Final = make_single(lua_shared.SHARED_FAIL)
        self._renew_script: Final = make_single(lua.RENEW_LEASE)
        self._rests: Final = rests
        self._malformed: MalformedAnswer | None = None
        self._rests_until = 0.0

    async def get_or_create(self, unwanted: bytes, create: Create) -> tuple[bytes, int]:
        """Return a value other than the unwanted one, and the milliseconds for which it is valid.

        Of all replicas that want a new one, one creates it and the others wait. Without Redis each creates its own.
        Raises what `create` raised, at whichever replica.
        """
        arguments = [self._replica_id, LEASE_MS, unwanted, _LONGEST_REST_MS]
        while True:
            match await self._run(self._get_script, self._keys, arguments, _read_shared, writes=True):
                case RedisFailure():
                    value, left_ms, _ = await self._make(create)
                    return value, left_ms
                case b"kept", value, left_ms:
                    return value, left_ms
                case b"ours", _, _:
                    return await self._create_for_all(create)
                case b"failed", failure, _:
                    raise _decode_failure(failure)
            await asyncio.sleep(_POLL_SECONDS)

    async def _create_for_all(self, create: Create) -> tuple[bytes, int]:
        renewal = asyncio.create_task(self._keep_lease())
        try:
            value, left_ms, rest_ms = await self._make(create)
        except TallygateError as error:
            failure = _encode_failure(error)
            rest_ms = max(_FAILURE_MS, round(self._rest_seconds() * 1000))
            await self._run(self._fail_script, self._keys[1:], [self._replica_id, failure, rest_ms], read_flag)
            raise
        finally:
            renewal.cancel()
        failure = _encode_failure(TokenRefused("The upstream made a new token just now, and refuses that one too."))
        arguments = [self._replica_id, value, left_ms, rest_ms, failure]
        await self._run(self._set_script, self._keys, arguments, read_flag)
        return value, left_ms

    async def _make(self, create: Create) -> Created:
        """Create a value, or raise the last `MalformedAnswer` while it is too early to try again."""
        if self._malformed is not None and self._rest_seconds() > 0:
            raise self._malformed.with_traceback(None)
        began = _now()
        try:
            return await create()
        except MalformedAnswer as error:
            self._malformed = error
            self._rests_until = _now() + min(self._rests * (_now() - began), _LONGEST_REST_MS / 1000)
            raise

    def _rest_seconds(self) -> float:
        return max(0.0, self._rests_until - _now())

    async def _keep_lease(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            await self._run(self._renew_script, self._keys[1:], [self._replica_id, LEASE_MS], read_flag)

    async def _run(
        self,
        script: SingleScript,
        keys: Sequence[str],
        arguments: Sequence[Any],
        read: Callable[[Any], T],
        *,
        writes: bool = False,
    ) -> T | RedisFailure:
        return await self._redis_client.execute(
            lambda: run_single(self._redis_client.client, script, keys, arguments), read, writes=writes
        )


def _now() -> float:
    return asyncio.get_running_loop().time()


def _read_shared(result: Any) -> tuple[bytes, bytes, int]:
    """Read the result of `SHARED_GET`: a word, a value or a failure, and the value's time to live."""
    match result:
        case [b"kept" | b"ours" | b"elsewhere" | b"failed" as word, bytes(value), left_ms] if type(left_ms) is int:
            return word, value, left_ms
    raise WrongShape


def _encode_failure(error: TallygateError) -> bytes:
    return msgspec.json.encode(Failure.of(AccountId("token"), error))


def _decode_failure(failure: bytes) -> TallygateError:
    try:
        return decode_json(failure, Failure).to_error()
    except Undecodable as error:
        log.warning("failure.unreadable", reason=str(error))  # at most once a second: so long is a failure kept
        return Unreachable("Another replica could not get a token.")
