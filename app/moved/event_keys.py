"""Public keys of the upstream's events: read from a file that is watched, and what they verify."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from app.decoding import Undecodable, decode_base64, decode_hex
from app.errors import StartError

MAX_KEYS: Final = 8
_BITS: Final = (2048, 4096)
_CHECK_SECONDS: Final = 0.5

log = structlog.get_logger()


def parse_event_keys(text: str, path: str) -> tuple[RSAPublicKey, ...]:
    """Parse public keys, one a line. Raises `StartError` that says what is wrong, and in which line."""
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not 1 <= len(lines) <= MAX_KEYS:
        raise StartError(f"{path} has {len(lines)} keys. It needs 1 to {MAX_KEYS}, one a line.")
    return tuple(_parse_key(line, f"{path}, line {number}") for number, line in lines)


def _parse_key(line: str, place: str) -> RSAPublicKey:
    try:
        key = load_der_public_key(decode_base64(line))
    except (Undecodable, ValueError, UnsupportedAlgorithm):
        raise StartError(f"{place}: this is no public key (SubjectPublicKeyInfo as DER, in base64).") from None
    if not isinstance(key, RSAPublicKey) or not _BITS[0] <= key.key_size <= _BITS[1]:
        raise StartError(f"{place}: this is no RSA key of {_BITS[0]} to {_BITS[1]} bits.")
    return key


class EventKeys:
    """Verify by the keys of a file, whose content is checked each half second.

    `read` returns its text, or raises `StartError`, as does a wrong content: the last good keys stay, and the error is
    logged once.
    """

    def __init__(self, first: str, path: str, read: Callable[[], Awaitable[str]]) -> None:
        self._path: Final = path
        self._read: Final = read
        self._seen = first
        self._reported: str | None = None
        self._keys = parse_event_keys(first, path)

    def verify(self, body: bytes, signature: str) -> bool:
        """Return whether a signature in hex is that of these bytes (RSA-SHA256, PKCS#1 v1.5) by any of the keys.

        It takes at most a tenth of a millisecond for a key: no thread is needed.
        """
        if len(signature) > _BITS[1] // 4:
            return False
        try:
            given = decode_hex(signature)
        except Undecodable:
            return False
        return any(len(given) == (key.key_size + 7) // 8 and _is_signed(key, given, body) for key in self._keys)

    @property
    def is_ok(self) -> bool:
        """Whether the last check succeeded."""
        return self._reported is None

    async def keep_watching(self) -> None:
        """Watch until cancelled."""
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            await self.check_once()

    async def check_once(self) -> None:
        """Use keys that are new."""
        try:
            text = await self._read()
            if text != self._seen:
                self._keys = parse_event_keys(text, self._path)
                self._seen = text
                log.info("events.keys_changed", keys=len(self._keys))
        except StartError as error:
            self._report(error.detail)
        else:
            self._reported = None

    def _report(self, reason: str) -> None:
        if reason != self._reported:
            log.error("events.keys_refused", reason=reason)
        self._reported = reason


def _is_signed(key: RSAPublicKey, signature: bytes, body: bytes) -> bool:
    try:
        key.verify(signature, body, PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True
