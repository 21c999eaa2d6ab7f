"""An issuer of tokens: keys of every kind, and tokens signed with them, rightly and wrongly."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from app.access.callers import MAX_CREDENTIAL_CHARACTERS
from app.access.tokens.issuers import Issuer, Rule, Source
from app.balances.snapshots import AccountId

URL = "https://id.example.com/realm"
NOW = 1_000_000_000.0
RSA, OTHER_RSA = (rsa.generate_private_key(65537, 2048) for _ in range(2))
EC = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", *EC, "EdDSA")
KEYS: dict[str, Any] = {
    algorithm: ec.generate_private_key(EC[algorithm])
    if algorithm in EC
    else ed25519.Ed25519PrivateKey.generate()
    if algorithm == "EdDSA"
    else OTHER_RSA
    if algorithm.startswith("PS")
    else RSA
    for algorithm in ALGORITHMS
}
ISSUER = Issuer(
    name="kc",
    source=Source(URL),
    audience=frozenset({"tallygate"}),
    algorithms=ALGORITHMS,
    groups_claim=("realm_access", "roles"),
    rules=(
        Rule(subject="system:serviceaccount:shop:*", merchants=frozenset({AccountId("1")})),
        Rule(group="books", merchants="all", portfolio=True, rate=5),
        Rule(subject="reads-its-own", merchants_claim=("merchants",)),
    ),
)


def jwks(algorithms: tuple[str, ...] = ALGORITHMS, *, pairs: Mapping[str, Any] = KEYS) -> bytes:
    """Publish the public keys; the id of each is its algorithm."""
    keys = []
    for algorithm in algorithms:
        public = jwt.get_algorithm_by_name(algorithm).to_jwk(pairs[algorithm].public_key(), as_dict=True)
        keys.append({**public, "kid": algorithm, "use": "sig"})
    return json.dumps({"keys": keys}).encode()


def sign(
    algorithm: str = "ES256", *, key: Any = None, header: dict[str, Any] | None = None, now: float = NOW, **changed: Any
) -> str:
    """Sign a token that is right but for what is changed; a claim changed to None is left out."""
    claims = {"iss": URL, "aud": "tallygate", "sub": "somebody", "exp": now + 600, "iat": now, **changed}
    kept = {name: value for name, value in claims.items() if value is not None}
    headers = {"kid": algorithm, **(header or {})}
    return jwt.encode(kept, key or KEYS[algorithm], algorithm, headers={k: v for k, v in headers.items() if v})


def encode(part: Any) -> str:
    text = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def confuse(now: float) -> str:
    """Sign with HMAC, taking the text of the public key for a shared secret."""
    pem = RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    claims = {"iss": URL, "aud": "tallygate", "sub": "x", "exp": now + 600}
    signed = f"{encode({'alg': 'HS256', 'kid': 'RS256'})}.{encode(claims)}"
    return f"{signed}.{encode(hmac.digest(pem, signed.encode(), hashlib.sha256))}"


def forge(now: float) -> str:
    """Put other claims under a right signature."""
    head, _, signature = sign(now=now).split(".")
    return f"{head}.{encode({'iss': URL, 'aud': 'tallygate', 'sub': 'root', 'exp': now + 600})}.{signature}"


def nest(depth: int) -> str:
    claims = b'{"iss":"%s","x":%s1%s}' % (URL.encode(), b"[" * depth, b"]" * depth)
    return f"{encode({'alg': 'ES256', 'kid': 'ES256'})}.{encode(claims)}.c2ln"


def make_wrong(now: float) -> dict[str, str]:
    """Make one token of each kind that is not to be taken, by what is wrong with it."""
    return {
        "forged": forge(now),
        "signed by another key": sign(now=now, key=ec.generate_private_key(ec.SECP256R1())),
        "expired": sign(now=now, exp=now - 31),
        "not valid yet": sign(now=now, nbf=now + 500),
        "issued in the future": sign(now=now, iat=now + 500),
        "without an expiry": sign(now=now, exp=None),
        "without a subject": sign(now=now, sub=None),
        "without an audience": sign(now=now, aud=None),
        "alg none": f"{encode({'alg': 'none'})}.{encode({'iss': URL, 'aud': 'tallygate', 'sub': 'x', 'exp': now + 600})}.",
        "HS256 with the public key": confuse(now),
        "wrong audience": sign(now=now, aud="another"),
        "wrong issuer": sign(now=now, iss="https://id.example.com/other"),
        "unknown key": sign(now=now, header={"kid": "nobody"}),
        "key of another algorithm": sign(now=now, header={"kid": "RS256"}),
        "no key id where there are several": sign("RS256", now=now, header={"kid": None}),
        "critical header": sign(now=now, header={"crit": ["x"], "x": 1}),
        "oversized": sign(now=now, filler="x" * MAX_CREDENTIAL_CHARACTERS),
        "deeply nested": nest(2000),
        "two parts": ".".join(sign(now=now).split(".")[:2]),
        "five parts": f"{sign(now=now)}.a.b",
        "no base64": "eyJ!.eyJ!.eyJ!",
        "a subject with a line feed": sign(now=now, sub="a\nb"),
        "merchants that are none": sign(now=now, sub="reads-its-own", merchants=["all"]),
    }


WRONG = make_wrong(NOW)
