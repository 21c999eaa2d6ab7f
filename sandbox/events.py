"""Events of the simulated upstream: signed, sent when a merchant moves; late, twice, out of order or forged on demand."""

import asyncio
import base64
from collections import Counter
from functools import cached_property
from random import Random
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec import Meta

KINDS: Final = (
    "FUNDING_WEBHOOK",
    "ORDER_WEBHOOK",
    "GLOBAL_PAYMENT_WEBHOOK",
    "ON_RAMP_WITHDRAW_WEBHOOK",
    "STABLE_COIN_PAYMENT_WEBHOOK",
)
_TIMEOUT_SECONDS: Final = 5


class Delivery(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """How events are sent. Without `url` none are.

    Each copy is late by `delay_seconds`, and by up to `jitter_seconds` more, which puts events out of order. `forged` ones
    have a signature of zeros, a body that was altered after it was signed, or a signature by another key.
    """

    url: str | None = None
    delay_seconds: Annotated[float, Meta(ge=0, le=3600)] = 0
    jitter_seconds: Annotated[float, Meta(ge=0, le=3600)] = 0
    copies: Annotated[int, Meta(ge=1, le=100)] = 1
    forged: Literal["signature", "body", "key"] | None = None
    has_merchant: bool = True


class Events:
    """Send an event for each move. `answers` counts the statuses of the answers, 0 where there was none."""

    def __init__(self, delivery: Delivery, random: Random) -> None:
        self.delivery = delivery
        self.answers: Final[Counter[int]] = Counter()
        self._random: Final = random
        self._number = 0
        self._tasks: Final[set[asyncio.Task[None]]] = set()

    @cached_property
    def public_key(self) -> str:
        """The line of the public key, as registering a webhook returns it: base64 of a DER SubjectPublicKeyInfo."""
        public = self._key.public_key()
        return base64.b64encode(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()

    def send(self, merchant_id: int) -> None:
        """Send an event of a merchant, as `delivery` says now."""
        delivery = self.delivery
        if delivery.url is None:
            return
        body, signature = self._make(merchant_id, delivery)
        for _ in range(delivery.copies):
            wait = delivery.delay_seconds + delivery.jitter_seconds * self._random.random()
            task = asyncio.create_task(self._post(delivery.url, body, signature, wait))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Cancel what is still to be sent."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @cached_property
    def _key(self) -> RSAPrivateKey:
        return generate_private_key(65537, 2048)

    @cached_property
    def _other_key(self) -> RSAPrivateKey:
        return generate_private_key(65537, 2048)

    def _make(self, merchant_id: int, delivery: Delivery) -> tuple[bytes, str]:
        """Make a body and the signature that goes with it. The merchant is a number or text, as in the upstream's events."""
        self._number += 1
        event: dict[str, object] = {
            "webhookId": f"{self._random.getrandbits(64):016x}",
            "eventType": self._random.choice(KINDS),
            "data": {"orderId": self._number, "status": "COMPLETED"},
        }
        if delivery.has_merchant:
            event["merchantId"] = self._random.choice([merchant_id, str(merchant_id)])
        body = msgspec.json.encode(event)
        key = self._other_key if delivery.forged == "key" else self._key
        signature = key.sign(body, PKCS1v15(), SHA256())
        if delivery.forged == "signature":
            signature = bytes(len(signature))
        return body + b" " if delivery.forged == "body" else body, signature.hex()

    async def _post(self, url: str, body: bytes, signature: str, wait: float) -> None:
        await asyncio.sleep(wait)
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                self.answers[await _post(url, body, signature)] += 1
        except (OSError, ValueError, EOFError):
            self.answers[0] += 1


async def _post(url: str, body: bytes, signature: str) -> int:
    """Post a body over a connection of its own, and return the status of the answer."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
        f"signature: {signature}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    try:
        writer.write(head.encode("ascii") + body)
        line = await reader.readuntil(b"\r\n")
        await reader.read()
    finally:
        writer.close()
    return int(line.split(b" ")[1])
