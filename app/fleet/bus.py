"""The bus: each new entry told to all replicas with its content, each failure to those who wait for it."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import msgspec
import structlog

from app.balances.snapshots import AccountId, Entry
from app.errors import TallygateError, Unreachable, UpstreamError
from app.redis.client import honouring_cancellation
from app.redis.connections import CONNECTION_ERRORS
from app.redis.shared import Shared
from app.telemetry.metrics import Metrics

_TICK_SECONDS: Final = 2.0
_PAUSE_SECONDS: Final = 0.25
_JOIN_SECONDS: Final = 10.0
"""What joining may take: some of the servers that are asked for the way may hang, each for as long as redis-py waits for it."""

log = structlog.get_logger()


class Failure(msgspec.Struct, frozen=True, rename="camel"):
    """Why a replica could not fetch a key: the error's class, and what it says."""

    account_id: AccountId = msgspec.field(name="key")
    error: str
    detail: str
    retry_after_seconds: float | None = None
    code: int | None = None

    def to_error(self) -> TallygateError:
        """Make the error again."""
        kinds = {kind.__name__: kind for kind in _leaves(UpstreamError)}
        kind = kinds.get(self.error, Unreachable)
        return kind(self.detail, retry_after_seconds=self.retry_after_seconds, code=self.code)


def tell(key: AccountId, error: TallygateError) -> Failure:
    """Say an error so that it can be sent."""
    return Failure(key, type(error).__name__, error.detail, error.retry_after_seconds, error.code)


class _Message(msgspec.Struct, frozen=True):
    sender: str
    entry: Entry | None = None
    failure: Failure | None = None
    released: AccountId | None = msgspec.field(name="freed", default=None)


def encode_failure(sender: str, failure: Failure) -> bytes:
    """Write a message that tells a failure."""
    return msgspec.json.encode(_Message(sender, failure=failure))


def encode_released(sender: str, key: AccountId) -> bytes:
    """Write a message that tells that a lease was given back with nothing fetched."""
    return msgspec.json.encode(_Message(sender, released=key))


class Bus:
    """Listen on the channel: `on_entry` and `on_failure` get what other replicas tell, `on_subscribed` each (re)connection.

    `on_lease_released` gets the keys that another replica has let go. While `connected` is false, messages are being missed.
    """

    def __init__(
        self,
        shared: Shared,
        *,
        on_subscribed: Callable[[], None],
        on_entry: Callable[[Entry], None],
        on_failure: Callable[[Failure], None],
        on_lease_released: Callable[[AccountId], None],
        metrics: Metrics,
    ) -> None:
        self._metrics: Final = metrics
        self._client: Final[Any] = shared.client.client
        self._channel: Final = shared.channel
        self._replica_id: Final = shared.replica_id
        self._on_subscribed: Final = on_subscribed
        self._on_entry: Final = on_entry
        self._on_failure: Final = on_failure
        self._on_lease_released: Final = on_lease_released
        self._decoder: Final = msgspec.json.Decoder(_Message)
        self._ours: Final = b'{"sender":%b,' % msgspec.json.encode(shared.replica_id)
        self.connected = False

    async def listen(self) -> None:
        """Listen until cancelled, joining again whenever the connection is lost."""
        while True:
            try:
                await self._listen_once()
            except CONNECTION_ERRORS as error:
                if self.connected:
                    log.warning("bus.lost", error=type(error).__name__)
            finally:
                self.connected = False
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _listen_once(self) -> None:
        async with self._client.pubsub() as pubsub:
            async with asyncio.timeout(_JOIN_SECONDS):
                await honouring_cancellation(self._client.initialize())  # a cluster's bus does not do so by itself
                await honouring_cancellation(pubsub.subscribe(self._channel))
            asked = False
            while True:
                message = await honouring_cancellation(pubsub.get_message(timeout=_TICK_SECONDS))
                if message is None:
                    if asked:
                        raise TimeoutError
                    await pubsub.ping()
                asked = message is None
                if message is not None:
                    self._take(message)

    def _take(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "subscribe":
                self.connected = True
                log.info("bus.joined")
                self._on_subscribed()
            case "message":
                self._dispatch(message["data"])

    def _dispatch(self, data: bytes) -> None:
        """Take what others tell, a line each; what is told together has one sender, and is not read if that is us."""
        if not data.startswith(self._ours):
            for line in data.split(b"\n"):
                self._take_line(line)

    def _take_line(self, line: bytes) -> None:
        try:
            message = self._decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._metrics.bus_messages.add("unreadable")
            log.warning("bus.unreadable")
            return
        if message.sender == self._replica_id:
            return
        if message.entry is not None:
            self._metrics.bus_messages.add("entry")
            self._on_entry(message.entry)
        if message.failure is not None:
            self._metrics.bus_messages.add("failure")
            self._on_failure(message.failure)
        if message.released is not None:
            self._on_lease_released(message.released)


def _leaves(kind: type[UpstreamError]) -> list[type[UpstreamError]]:
    below = kind.__subclasses__()
    return [leaf for one in below for leaf in _leaves(one)] if below else [kind]
