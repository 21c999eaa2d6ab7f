"""The vault: one value of the whole fleet, which it cannot read, and the lease by which one replica makes a new one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from app.balances.snapshots import Key
from app.cache.redis_tier import LEASE_MS, RENEW_SECONDS
from app.errors import TallygateError, TokenRefused, Unreachable
from app.fleet.bus import Failure, tell
from app.redis import lua as scripts
from app.redis.client import Link, Outcome

_LOOK_SECONDS: Final = 0.05
_FAILURE_MS: Final = 1000

Make = Callable[[], Awaitable[tuple[bytes, int, int]]]
"""Makes a value; gives it, the milliseconds for which it is good, and those for which no other shall be made."""


class Vault:
    """Keep a value under `name` for the replicas that share it, each known as `owner`. It lasts as long as it is good.

    The name has a part in braces, by which value and lease lie in one slot of a cluster.
    """

    def __init__(self, link: Link, *, name: str, owner: str) -> None:
        self._link: Final = link
        self._keys: Final = [name, f"{name}:lease"]
        self._owner: Final = owner
        self._open: Final = link.client.register_script(scripts.OPEN_VAULT)
        self._fill: Final = link.client.register_script(scripts.FILL_VAULT)
        self._leave: Final = link.client.register_script(scripts.LEAVE_VAULT)
        self._renew: Final = link.client.register_script(scripts.RENEW)

    async def obtain(self, unwanted: bytes, make: Make) -> tuple[bytes, int]:
        """Give the value, and the milliseconds for which it is good, unless it is the unwanted one: then a new one.

        Of all replicas that want a new one, one makes it; the others wait. Without Redis each makes its own. Raises
        what the making raised, at whichever replica.
        """
        arguments = [self._owner, LEASE_MS, unwanted]
        while True:
            found = await self._link.attempt(lambda: self._open(keys=self._keys, args=arguments), writes=True)
            if isinstance(found, Outcome):
                value, left_ms, _ = await make()
                return value, left_ms
            match found:
                case [b"kept", value, left_ms]:
                    return value, left_ms
                case [b"ours", *_]:
                    return await self._make_for_all(make)
                case [b"failed", why, _]:
                    raise _read(why)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _make_for_all(self, make: Make) -> tuple[bytes, int]:
        keeping = asyncio.create_task(self._keep_lease())
        try:
            value, left_ms, rest_ms = await make()
        except TallygateError as error:
            why = _write(error)
            await self._link.attempt(lambda: self._leave(keys=self._keys[1:], args=[self._owner, why, _FAILURE_MS]))
            raise
        finally:
            keeping.cancel()
        why = _write(TokenRefused("The upstream made a new token just now, and refuses that one too."))
        arguments = [self._owner, value, left_ms, rest_ms, why]
        await self._link.attempt(lambda: self._fill(keys=self._keys, args=arguments))
        return value, left_ms

    async def _keep_lease(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            await self._link.attempt(lambda: self._renew(keys=self._keys[1:], args=[self._owner, LEASE_MS]))


def _write(error: TallygateError) -> bytes:
    return msgspec.json.encode(tell(Key("token"), error))


def _read(why: bytes) -> TallygateError:
    try:
        return msgspec.json.decode(why, type=Failure).revive()
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return Unreachable("Another replica could not get a token.")
