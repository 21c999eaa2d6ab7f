"""Events of the upstream: signed, and worth no more than a look. A replay has no effect, however often it comes."""

from collections import OrderedDict
from hashlib import sha256
from typing import Final

import structlog
from msgspec import Struct

from app.balances.merchants import MAX_MERCHANT_ID
from app.balances.snapshots import AccountId
from app.decoding import Undecodable, decode_json
from app.moved.event_keys import EventKeys
from app.moved.notices import Notices
from app.redis.client import RedisFailure
from app.redis.shared import Shared
from app.telemetry.metrics import Metrics

MAX_EVENT_BYTES: Final = 64 * 1024

KINDS: Final = frozenset(
    {
        "FUNDING_WEBHOOK",
        "ORDER_WEBHOOK",
        "GLOBAL_PAYMENT_WEBHOOK",
        "ON_RAMP_WITHDRAW_WEBHOOK",
        "STABLE_COIN_PAYMENT_WEBHOOK",
    }
)
"""The types that the upstream documents. A metric counts all others as one."""

_KNOWN_MS: Final = 7 * 86_400_000
_KNOWN_HERE: Final = 10_000

log = structlog.get_logger()


class _Event(Struct, frozen=True, rename="camel"):
    event_type: str | None = None
    merchant_id: str | int | None = None


class Events:
    """Take notice of events whose signature is right. One that comes again within seven days has no effect.

    The digest of its bytes names an event: the upstream does not say whether a `webhookId` is that of the event, or of a
    registration that all events share.
    """

    def __init__(self, keys: EventKeys, notices: Notices, shared: Shared, metrics: Metrics) -> None:
        self._keys: Final = keys
        self._notices: Final = notices
        self._redis_client: Final = shared.client
        self._key_prefix: Final = shared.key_prefix
        self._metrics: Final = metrics
        self._known: Final[OrderedDict[str, None]] = OrderedDict()

    def verify(self, body: bytes, signature: str | None) -> bool:
        """Return whether a signature in hex is that of a body, by one of the keys. Counts those that are not."""
        if signature is not None and self._keys.verify(body, signature):
            return True
        self._metrics.upstream_events.add("bad-signature")
        return False

    async def take(self, body: bytes) -> None:
        """Mark what an event is about. One that names no merchant marks the aggregate. Repeating it has no effect."""
        event = _read(body)
        kind = "unreadable" if event is None else event.event_type if event.event_type in KINDS else "other"
        self._metrics.upstream_events.add(kind or "other")
        name = f"{self._key_prefix}:{{event:{sha256(body).hexdigest()}}}"  # nothing of an event is stored
        if await self._is_known(name):
            self._metrics.upstream_events_repeated.add()
            return
        merchant = None if event is None else _read_merchant(event.merchant_id)
        if merchant is None:
            log.warning("events.without_merchant", kind=kind)
        await self._notices.take([] if merchant is None else [merchant])
        await self._remember(name)  # after the mark: an event whose mark failed comes again, and counts then

    async def _is_known(self, name: str) -> bool:
        """Return whether an event is known, and remember it for longer: a replay that goes on is known for ever."""
        client = self._redis_client.client
        found = await self._redis_client.execute(lambda: client.set(name, b"1", xx=True, px=_KNOWN_MS), bool)
        return name in self._known or (not isinstance(found, RedisFailure) and found)

    async def _remember(self, name: str) -> None:
        self._known[name] = None
        if len(self._known) > _KNOWN_HERE:
            self._known.popitem(last=False)
        client = self._redis_client.client
        await self._redis_client.execute(lambda: client.set(name, b"1", px=_KNOWN_MS), bool, writes=True)


def _read(body: bytes) -> _Event | None:
    try:
        return decode_json(body, _Event)
    except Undecodable:
        return None


def _read_merchant(given: str | int | None) -> AccountId | None:
    text = str(given)
    if not (text.isascii() and text.isdigit() and not text.startswith("0") and len(text) <= len(str(MAX_MERCHANT_ID))):
        return None
    return AccountId(text) if int(text) <= MAX_MERCHANT_ID else None
