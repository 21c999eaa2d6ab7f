"""Uses of the API secret: it signs requests and seals shared tokens. It is revealed nowhere else."""

import hashlib
import hmac
import os
from typing import Annotated, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.decoding import decode_json
from app.secret import Secret

_NONCE_BYTES: Final = 12
_NAME_BYTES: Final = 8


class _Content(msgspec.Struct, frozen=True, rename="camel"):
    token: str
    life_seconds: Annotated[float, msgspec.Meta(ge=0, le=1e9)]


class SealBroken(Exception):
    """The seal was made with another secret, for another purpose, or was tampered with."""


class Seal:
    """Seal tokens with a key derived from a secret, bound to one purpose (AES-256-GCM, HKDF-SHA-256).

    `name` distinguishes seals of different secrets or purposes, and reveals neither. Nonces are random, which is safe
    for 2^32 values, far more than the tokens of one secret.
    """

    def __init__(self, secret: Secret, purpose: str) -> None:
        self._purpose: Final = purpose.encode()
        self._cipher: Final = AESGCM(_derive(secret, b"seal:" + self._purpose, 32))
        self.name: Final = _derive(secret, b"name:" + self._purpose, _NAME_BYTES).hex()

    def seal(self, token: Secret, life_seconds: float) -> bytes:
        """Return a token sealed, with its whole lifetime. Sealing it again gives other bytes."""
        nonce = os.urandom(_NONCE_BYTES)
        content = msgspec.json.encode(_Content(token.reveal(), life_seconds))
        return nonce + self._cipher.encrypt(nonce, content, self._purpose)

    def unseal(self, sealed: bytes) -> tuple[Secret, float]:
        """Return what was sealed. Raises `SealBroken`."""
        try:
            opened = self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], self._purpose)
            content = decode_json(opened, _Content)
        except (InvalidTag, ValueError) as error:
            raise SealBroken from error
        return Secret(content.token), content.life_seconds


def sign(secret: Secret, message: str) -> str:
    """Return the signature of a message for the upstream: its HMAC-SHA256 in hex."""
    return hmac.digest(secret.reveal().encode(), message.encode(), "sha256").hex()


def fingerprint(secret: Secret) -> str:
    """Return a hash that distinguishes secrets."""
    return hashlib.sha256(secret.reveal().encode()).hexdigest()


def _derive(secret: Secret, info: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt=None, info=b"tallygate/1/" + info).derive(secret.reveal().encode())
