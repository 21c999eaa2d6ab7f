"""Signatures of events, as the upstream makes them."""

import base64
from typing import Final

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

KEY: Final = generate_private_key(65537, 2048)
OTHER_KEY: Final = generate_private_key(65537, 2048)


def sign(body: bytes, key: RSAPrivateKey = KEY) -> str:
    """Sign a body, in hex."""
    return key.sign(body, PKCS1v15(), SHA256()).hex()


def public_line(key: RSAPrivateKey = KEY) -> str:
    """Give the line of a key in the file."""
    return base64.b64encode(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
