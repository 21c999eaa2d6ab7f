"""JWT parsing (RFC 7519): the form of a token, and its claims once the signature is verified."""

import re
from itertools import accumulate
from typing import Any, Final, TypeVar

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from app.access.callers import Caller
from app.access.tokens.issuers import Issuer
from app.decoding import Undecodable, decode_base64url, decode_json
from app.errors import Unauthenticated

MAX_HEADER_CHARACTERS: Final = 1024
MAX_DEPTH: Final = 32

_FORM: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_OPEN, _CLOSE = b"[{", b"]}"
_NO_BRACKETS: Final = bytes(set(range(256)) - set(_OPEN + _CLOSE))
_STRINGS: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)

T = TypeVar("T")


class _Header(Struct, frozen=True):
    alg: str
    kid: str | None = None
    crit: Any = UNSET
    b64: bool | UnsetType = UNSET


class _Issued(Struct, frozen=True):
    iss: str


class _Claims(Struct, frozen=True):
    exp: float
    sub: str
    aud: str | list[str]
    nbf: float = 0
    iat: float = 0


class Token(Struct, frozen=True):
    """An unverified token: `issuer` says only whose keys to try."""

    algorithm: str
    key_id: str | None
    issuer: str
    signed: bytes
    signature: bytes
    payload: bytes


def read_token(text: str) -> Token:
    """Parse a token. Raises `Unauthenticated` if it is malformed or has critical extensions (RFC 7515, 4.1.11)."""
    form = _FORM.fullmatch(text)
    if form is None or len(form[1]) > MAX_HEADER_CHARACTERS:
        raise Unauthenticated("This is no token.")
    header, payload, signature = map(_decode, form.groups())
    if max(_depth(header), _depth(payload)) > MAX_DEPTH:
        raise Unauthenticated("This token is nested too deeply.")
    head = _read(header, _Header)
    if head.crit is not UNSET or head.b64 is not UNSET:
        raise Unauthenticated("Tokens with such a header are not taken.")
    return Token(
        algorithm=head.alg,
        key_id=head.kid,
        issuer=_read(payload, _Issued).iss,
        signed=text.rpartition(".")[0].encode(),
        signature=signature,
        payload=payload,
    )


def read_claims(payload: bytes, issuer: Issuer, now: float) -> tuple[Caller, float]:
    """Return the caller that the payload of a verified token names, and when it expires, in Unix seconds.

    Raises `Unauthenticated`. The issuer's leeway applies to both ends of its lifetime.
    """
    claims = _read(payload, _Claims)
    if issuer.audience.isdisjoint([claims.aud] if isinstance(claims.aud, str) else claims.aud):
        raise Unauthenticated("This token is for somebody else.")
    until = claims.exp + issuer.leeway_seconds
    if now >= until:
        raise Unauthenticated("This token has expired.")
    if max(claims.nbf, claims.iat) > now + issuer.leeway_seconds:
        raise Unauthenticated("This token is not valid yet.")
    caller = issuer.caller_for(claims.sub, _read(payload, dict[str, Any]))
    return replace(caller, validity=caller.validity.ending_in_seconds(until)), until


def _decode(part: str) -> bytes:
    try:
        return decode_base64url(part)
    except Undecodable:
        raise Unauthenticated("This is no token.") from None


def _read(text: bytes, kind: type[T]) -> T:
    try:
        return decode_json(text, kind)
    except Undecodable:
        raise Unauthenticated("This token lacks what a token has, or is no JSON.") from None


def _depth(text: bytes) -> int:
    """Return how deep a JSON text is nested, without parsing it."""
    brackets = _STRINGS.sub(b"", text).translate(None, _NO_BRACKETS)
    return max(accumulate(1 if bracket in _OPEN else -1 for bracket in brackets), default=0)
