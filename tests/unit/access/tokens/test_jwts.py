"""The form of a token, judged before anything costs."""

import base64

import pytest

from app.access.tokens.jwts import MAX_DEPTH, read_token
from app.errors import Unauthenticated
from tests.support.tokens import URL, encode, sign

HEADER = encode({"alg": "ES256", "kid": "ES256"})


def nested(depth: int, inside: str = "1") -> str:
    claims = f'{{"iss":"{URL}","x":{"[" * depth}{inside}{"]" * depth}}}'
    return f"{HEADER}.{encode(claims.encode())}.c2ln"


def test_a_token_is_taken_apart_without_being_believed() -> None:
    text = sign("RS256")
    token = read_token(text)
    assert (token.algorithm, token.key_id, token.issuer) == ("RS256", "RS256", URL)
    assert token.signed.decode() == text.rpartition(".")[0]
    assert encode(token.signature) == text.rpartition(".")[2]


def test_only_so_deep_may_it_be_nested_and_brackets_in_strings_are_none() -> None:
    assert read_token(nested(MAX_DEPTH - 1)).issuer == URL
    assert read_token(nested(1, '"' + "[" * 1000 + '\\"]["')).issuer == URL
    for token in (nested(MAX_DEPTH), nested(2000), nested(1, '"' + "[" * 10 + '"' + "[" * 100)):
        with pytest.raises(Unauthenticated):
            read_token(token)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "a.b.c",
        f"{HEADER}.{HEADER}.",
        f"{HEADER}.{HEADER}.=",
        f"{HEADER}\n.{HEADER}.c2ln",
        f"{HEADER}.{encode([])}.c2ln",
        f"{HEADER}.{encode({'iss': 1})}.c2ln",
        f"{encode({'kid': 'x'})}.{encode({'iss': URL})}.c2ln",
        f"{encode({'alg': 'ES256', 'b64': False})}.{encode({'iss': URL})}.c2ln",
        f"{encode({'alg': 'ES256', 'x': 'y' * 2000})}.{encode({'iss': URL})}.c2ln",
        f"{HEADER}.{encode(bytes([0xFF, 0xFE]))}.c2ln",
        base64.b64encode(b"{}").decode(),
    ],
)
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(Unauthenticated):
        read_token(text)
