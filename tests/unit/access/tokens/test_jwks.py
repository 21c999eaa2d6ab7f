"""Key sets of issuers: which keys are made, and which are passed over."""

import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from app.access.tokens.jwks import MAX_KEYS, parse_jwks
from app.errors import IssuerUnavailable
from tests.support.tokens import ALGORITHMS, KEYS, jwks


def published(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


def public(algorithm: str, **changed: Any) -> dict[str, Any]:
    (key,) = json.loads(jwks((algorithm,)))["keys"]
    return {**key, **changed}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_is_found_by_its_id_for_its_algorithm_only(algorithm: str) -> None:
    keys = parse_jwks(jwks())
    key = keys.find(algorithm, algorithm)
    assert key is not None
    signature = jwt.get_algorithm_by_name(algorithm).sign(b"text", KEYS[algorithm])
    assert key.verifies(b"text", signature)
    assert not key.verifies(b"text!", signature)
    assert not key.verifies(b"text", b"")
    assert keys.find("ES256" if algorithm == "EdDSA" else "EdDSA", algorithm) is None


WEAK = jwt.get_algorithm_by_name("RS256").to_jwk(
    rsa.generate_private_key(65537, 1024).public_key(),  # which is the point
    as_dict=True,
)
SECRET = jwt.get_algorithm_by_name("ES256").to_jwk(KEYS["ES256"], as_dict=True)


@pytest.mark.parametrize(
    "key",
    [
        public("ES256", use="enc"),
        public("ES256", key_ops=["sign"]),
        public("ES256", key_ops=["encrypt", "wrapKey"]),
        public("ES256", key_ops=[]),
        public("ES256", key_ops="verify"),
        public("ES256", key_ops=None),
        public("ES256", alg="ES384"),
        public("ES256", kty="oct"),
        public("ES256", crv="P-384"),
        public("ES256", x="AA"),
        public("ES256", x=1),
        {"kty": "oct", "k": "c2VjcmV0", "kid": "x"},
        {"kty": "RSA"},
        {},
        WEAK,
        SECRET,
    ],
)
def test_a_key_that_will_not_do_is_passed_over_and_others_count(key: dict[str, Any]) -> None:
    keys = parse_jwks(published(key, public("EdDSA")))
    assert keys.find(None, "ES256") is None
    assert keys.find(None, "RS256") is None
    assert keys.find(None, "EdDSA") is not None


def test_of_two_different_keys_with_one_id_none_is_meant() -> None:
    material = ec.generate_private_key(ec.SECP256R1()).public_key()
    other = {**jwt.get_algorithm_by_name("ES256").to_jwk(material, as_dict=True), "kid": "ES256"}
    assert parse_jwks(published(public("ES256"), other)).find("ES256", "ES256") is None


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
@pytest.mark.parametrize("changed", [{}, {"use": "sig"}, {"key_ops": ["verify"]}, {"x5t": "aa"}], ids=str)
def test_a_key_that_is_listed_twice_is_one_key(algorithm: str, changed: dict[str, Any]) -> None:
    keys = parse_jwks(published(public(algorithm), public(algorithm, **changed)))
    assert keys.find(algorithm, algorithm) is not None
    assert keys.find(None, algorithm) is not None


def test_two_sets_are_the_same_whatever_their_order() -> None:
    one, other = public("ES256"), public("EdDSA")
    assert parse_jwks(published(one, other)) == parse_jwks(published(dict(reversed(other.items())), one))
    assert parse_jwks(published(one)) != parse_jwks(published(other))


@pytest.mark.parametrize(
    "document", [b"", b"[]", b"{}", b'{"keys":1}', b'{"keys":[1]}', b"\xff", published(*[{}] * (MAX_KEYS + 1))]
)
def test_what_is_no_key_set_is_refused(document: bytes) -> None:
    with pytest.raises(IssuerUnavailable):
        parse_jwks(document)
