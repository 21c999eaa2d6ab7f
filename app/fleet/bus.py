"""Publish/subscribe bus: replicas receive each other's new entries, failures, and released leases."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, Final

import msgspec
import structlog
from msgspec import Meta

from app.balances.snapshots import AccountId, Entry, StoredAccountId, UnixMs
from app.decoding import JsonDecoder, Undecodable
from app.errors import TallygateError, Unreachable, UpstreamError
from app.redis.connections import CONNECTION_ERRORS
from app.redis.pipe import can_be_piped
from app.redis.shared import Shared
from app.redis.subscription import Subscription, open_subscription
from app.redis.timeouts import RedisTrouble, translating
from app.telemetry.log_throttle import LogThrottle
from app.telemetry.metrics import Metrics

_LONGEST_SECONDS: Final = 1e9
_PING_SECONDS: Final = 2.0
_RECONNECT_SECONDS: Final = 0.25
_LONGEST_PAUSE_SECONDS: Final = 8.0
"""The pause before the next subscription: the first one, and the longest if they are lost as soon as they are made."""

_LASTING_SECONDS: Final = 10.0
_SUBSCRIBE_SECONDS: Final = 10.0
"""The time-out of a subscription: servers on the way may hang, each for as long as redis-py waits."""

log = structlog.get_logger()


class Failure(msgspec.Struct, frozen=True, rename="camel"):
    """Why a replica could not fetch an account: the error's class and detail, for the bus."""

    account_id: AccountId = msgspec.field(name="key")
    error: str
    detail: str
    retry_after_seconds: Annotated[float, Meta(ge=0, le=_LONGEST_SECONDS)] | None = None
    code: int | None = None

    @staticmethod
    def of(account_id: AccountId, error: TallygateError) -> "Failure":
        """Describe an error so that it can be sent."""
        seconds = error.retry_after_seconds
        seconds = None if seconds is None else min(max(seconds, 0.0), _LONGEST_SECONDS)
        return Failure(account_id, type(error).__name__, error.detail, seconds, error.code)

    def to_error(self) -> TallygateError:
        """Restore the error. One of an unknown class becomes `Unreachable`."""
        classes = {leaf.__name__: leaf for leaf in _leaves(UpstreamError)}
        error_class = classes.get(self.error, Unreachable)
        return error_class(self.detail, retry_after_seconds=self.retry_after_seconds, code=self.code)


class Move(msgspec.Struct, frozen=True, rename="camel"):
    """A move of an account, and when it was heard of (Unix milliseconds): never earlier than what was stored then."""

    account_id: StoredAccountId = msgspec.field(name="key")
    at: UnixMs


class _Message(msgspec.Struct, frozen=True):
    sender: str
    entry: Entry | None = None
    failure: Failure | None = None
    released: StoredAccountId | None = msgspec.field(name="freed", default=None)
    withdrawn: StoredAccountId | msgspec.UnsetType = msgspec.UNSET  # replicas of earlier versions do not know it
    moved: Move | msgspec.UnsetType = msgspec.UNSET  # nor this


def encode_failure(sender: str, failure: Failure) -> bytes:
    """Encode the message that a fetch failed."""
    return msgspec.json.encode(_Message(sender, failure=failure))


def encode_released(sender: str, account_id: AccountId) -> bytes:
    """Encode the message that a lease was released without a result."""
    return msgspec.json.encode(_Message(sender, released=account_id))


def encode_withdrawn(sender: str, account_id: AccountId) -> bytes:
    """Encode the message that what is known of an account is in doubt."""
    return msgspec.json.encode(_Message(sender, withdrawn=account_id))


class Bus:
    """Listen on the channel: each message of another replica, and each (re)subscription, goes to a callback.

    `on_lease_released` gets the accounts whose lease another replica released without a result. `on_doubt` gets those that
    moved, with the time, and with None those of which nothing known may be served any more. While `connected` is false,
    messages are missed.
    """

    def __init__(
        self,
        shared: Shared,
        *,
        on_subscribed: Callable[[], None],
        on_entry: Callable[[Entry], None],
        on_failure: Callable[[Failure], None],
        on_lease_released: Callable[[AccountId], None],
        on_doubt: Callable[[AccountId, int | None], None] = lambda *_: None,
        metrics: Metrics,
    ) -> None:
        self._metrics: Final = metrics
        self._redis_client: Final = shared.client
        self._channel: Final = shared.channel
        self._replica_id: Final = shared.replica_id
        self._on_subscribed: Final = on_subscribed
        self._on_entry: Final = on_entry
        self._on_failure: Final = on_failure
        self._on_lease_released: Final = on_lease_released
        self._on_doubt: Final = on_doubt
        self._decoder: Final[JsonDecoder[_Message]] = JsonDecoder(_Message)
        self._unreadable: Final = LogThrottle()
        self._own_start: Final = b'{"sender":%b,' % msgspec.json.encode(shared.replica_id)
        self.connected = False

    async def listen(self) -> None:
        """Listen until cancelled. Subscribe again whenever the connection is lost, or replaced."""
        pause = _RECONNECT_SECONDS
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await self._listen_once(self._redis_client.client)
            except (RedisTrouble, *CONNECTION_ERRORS) as error:
                if self.connected:
                    log.warning("bus.lost", error=type(error.__cause__ or error).__name__)
            finally:
                is_brief = self.connected and loop.time() - began < _LASTING_SECONDS
                self.connected = False
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS) if is_brief else _RECONNECT_SECONDS
            await asyncio.sleep(pause)

    async def _listen_once(self, client: Any) -> None:
        if can_be_piped(client):
            await self._listen_directly(client)
        else:
            await self._listen_by_pubsub(client)

    async def _listen_directly(self, client: Any) -> None:
        subscription: Subscription | None = None
        try:
            async with asyncio.timeout(_SUBSCRIBE_SECONDS):
                subscription = await translating(
                    open_subscription(client, self._channel, self._on_joined, self._on_data)
                )
            while client is self._redis_client.client:
                await subscription.listen(_PING_SECONDS)
        finally:
            if subscription is not None:
                await subscription.release()

    async def _listen_by_pubsub(self, client: Any) -> None:
        async with client.pubsub() as pubsub:
            async with asyncio.timeout(_SUBSCRIBE_SECONDS):
                await translating(client.initialize())  # a cluster's pubsub does not do so by itself
                await translating(pubsub.subscribe(self._channel))
            is_pinged = False
            while client is self._redis_client.client:
                message = await translating(pubsub.get_message(timeout=_PING_SECONDS))
                if message is None:
                    if is_pinged:
                        raise TimeoutError
                    await translating(pubsub.ping())
                is_pinged = message is None
                if message is not None:
                    self._on_message(message)

    def _on_message(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "subscribe":
                self._on_joined()
            case "message":
                self._on_data(message["data"])

    def _on_joined(self) -> None:
        self.connected = True
        log.info("bus.joined")
        self._on_subscribed()

    def _on_data(self, data: Any) -> None:
        """Handle a batch of messages, one a line. All have one sender; our own batches are not decoded."""
        if not isinstance(data, bytes):
            self._on_line(b"")
        elif not data.startswith(self._own_start):
            for line in data.split(b"\n"):
                self._on_line(line)

    def _on_line(self, line: bytes) -> None:
        try:
            message = self._decoder.decode(line)
        except Undecodable as error:
            self._metrics.bus_messages.add("unreadable")
            if self._unreadable.admits():
                log.warning("bus.unreadable", reason=str(error), unwritten=self._unreadable.unwritten)
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
        if message.withdrawn is not msgspec.UNSET:
            self._on_doubt(message.withdrawn, None)
        if message.moved is not msgspec.UNSET:
            self._on_doubt(message.moved.account_id, message.moved.at)


def _leaves(error_class: type[UpstreamError]) -> list[type[UpstreamError]]:
    below = error_class.__subclasses__()
    return [leaf for one in below for leaf in _leaves(one)] if below else [error_class]
