"""Public keys of issuers (JWK, RFC 7517), and verification of signatures with them. The only use of PyJWT."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final, Literal, get_args

import jwt
import msgspec
from msgspec import Struct

from app.decoding import Undecodable, decode_json
from app.errors import IssuerUnavailable

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Accepted signature algorithms (RFC 7518, 3.1; RFC 8037): asymmetric ones only, never a shared key."""

MAX_KEYS: Final = 100

_CURVES: Final[Mapping[str, set[str]]] = {
    "ES256": {"P-256"},
    "ES384": {"P-384"},
    "ES512": {"P-521"},
    "EdDSA": {"Ed25519", "Ed448"},
}
_LEAST_RSA_BITS: Final = 2048

_Named = tuple[str | None, str]
"""The id of a key, and its algorithm."""


class PublicKey(Struct, frozen=True):
    """A key for one algorithm, so that a token cannot choose another (RFC 8725, 2.1)."""

    algorithm: Algorithm
    material: Any

    def verifies(self, signed: bytes, signature: bytes) -> bool:
        """Return whether a signature over this text was made with the private half of this key."""
        try:
            return jwt.get_algorithm_by_name(self.algorithm).verify(signed, self.material, signature)
        except (jwt.PyJWTError, ValueError, TypeError):
            return False


class Jwks:
    """The keys of an issuer. Two sets are equal if the same keys are published, in any order."""

    def __init__(self, published: list[dict[str, Any]]) -> None:
        self._published: Final = frozenset(msgspec.json.encode(jwk, order="sorted") for jwk in published)
        self._keys: Final = _sort(published)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Jwks) and self._published == other._published

    def __hash__(self) -> int:
        return hash(self._published)

    def __len__(self) -> int:
        return len(self._published)

    def find(self, key_id: str | None, algorithm: str) -> PublicKey | None:
        """Return the key of an id for an algorithm; without an id, the only key for it."""
        return self._keys.get((key_id, algorithm))

    def serves(self, algorithms: tuple[str, ...]) -> bool:
        """Return whether there is any key for one of the algorithms."""
        return any(algorithm in algorithms for _, algorithm in self._keys)


class _Published(Struct, frozen=True):
    """A JSON Web Key Set (RFC 7517, 5)."""

    keys: list[dict[str, Any]]


def parse_jwks(document: bytes) -> Jwks:
    """Parse what an issuer publishes. Raises `IssuerUnavailable`. Keys for other uses are ignored."""
    try:
        published = decode_json(document, _Published).keys
    except Undecodable:
        raise IssuerUnavailable("What it publishes is no JSON Web Key Set.") from None
    if len(published) > MAX_KEYS:
        raise IssuerUnavailable(f"It publishes more than {MAX_KEYS} keys.")
    return Jwks(published)


def _sort(published: list[dict[str, Any]]) -> Mapping[_Named, PublicKey]:
    """Make keys and name them. Where two different keys have one name, neither counts: which is meant cannot be known."""
    found: defaultdict[_Named, dict[bytes, PublicKey]] = defaultdict(dict)
    for jwk in published:
        for algorithm in get_args(Algorithm):
            if (key := _make_key(jwk, algorithm)) is not None:
                for key_id in {None, _id_of(jwk)}:
                    found[key_id, algorithm][_thumbprint(jwk)] = key
    return {named: key for named, keys in found.items() if len(keys) == 1 for key in keys.values()}


def _thumbprint(jwk: dict[str, Any]) -> bytes:
    """Write what makes a key the same key, however often and with whatever else it is listed (RFC 7638, 3.2)."""
    return msgspec.json.encode([jwk.get(member) for member in ("kty", "crv", "x", "y", "n", "e")])


def _id_of(jwk: dict[str, Any]) -> str | None:
    key_id = jwk.get("kid")
    return key_id if isinstance(key_id, str) else None


def _is_for(jwk: dict[str, Any], algorithm: Algorithm) -> bool:
    """Tell whether a JWK is public and meant to verify signatures of this algorithm (RFC 7517, 4.2 to 4.4)."""
    operations = jwk.get("key_ops", ["verify"])
    return (
        "d" not in jwk
        and jwk.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
        and jwk.get("alg", algorithm) == algorithm
    )


def _make_key(jwk: dict[str, Any], algorithm: Algorithm) -> PublicKey | None:
    """Make a key of a JWK; None if it is not for this algorithm, not for signatures, too weak, or no public one."""
    if not _is_for(jwk, algorithm):
        return None
    curves = _CURVES.get(algorithm)
    if curves is None and jwk.get("kty") != "RSA":
        return None
    if curves is not None and jwk.get("crv") not in curves:
        return None
    try:
        material = jwt.get_algorithm_by_name(algorithm).from_jwk(jwk)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, OverflowError):
        return None
    if curves is None and material.key_size < _LEAST_RSA_BITS:
        return None
    return PublicKey(algorithm, material)
