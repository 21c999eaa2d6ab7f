"""Each way of decoding foreign input has one error, whatever is wrong."""

import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.access.clients_file import parse_clients
from app.access.tokens.jwks import parse_jwks
from app.access.tokens.jwts import read_token
from app.api.requests.parameters import read_query
from app.api.requests.paths import read_asset_id, route_path
from app.decoding import (
    JsonDecoder,
    MsgpackDecoder,
    RepeatedName,
    Undecodable,
    decode_base64url,
    decode_json,
    decode_percent,
    decompress,
    parse_json,
    parse_query,
    parse_toml,
)
from app.errors import InvalidRequest, IssuerUnavailable, MalformedAnswer, StartError, Unauthenticated
from app.upstream.envelope import UpstreamResponse, parse_envelope
from tests.support.garbage import GARBAGE

FOREIGN = [
    *GARBAGE.values(),
    b"{" * 1100,
    b'{"a":' * 1100,
    b"[" * 1100 + b"]" * 1100,
    b"9" * 5000,
    b"-" + b"9" * 5000,
    b"1e999999999",
    b'{"keys":' + b"9" * 5000 + b"}",
    b"a = " + b"9" * 5000,
    b"a = " + b"[" * 5000,
    b"a." * 5000 + b"a = 1",
    b"%ff",
    b"%",
    b"=" * 7,
    b'"\\ud800"',
    b'"\x00"',
    b"NaN",
    b"-Infinity",
    b"\x91" * 100_000,
    b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",
]
everything = st.one_of(st.sampled_from(FOREIGN), st.binary(max_size=200))

DECODERS: dict[str, Callable[[bytes], Any]] = {
    "JSON": lambda data: decode_json(data, dict[str, int]),
    "JSON of any shape": lambda data: decode_json(data, object),
    "JSON by a decoder": JsonDecoder[Any](int | list[float]).decode,
    "strict JSON": parse_json,
    "MessagePack": MsgpackDecoder[Any](dict[str, float]).decode,
    "TOML": lambda data: parse_toml(data.decode("latin-1")),
    "base64url": lambda data: decode_base64url(data.decode("latin-1")),
    "zlib": lambda data: decompress(data, 1000),
    "percent": decode_percent,
    "query": parse_query,
}

READERS: dict[str, tuple[Callable[[bytes], Any], type[Exception]]] = {
    "clients file": (lambda data: parse_clients(data.decode("latin-1"), "x.toml"), StartError),
    "JWKS": (parse_jwks, IssuerUnavailable),
    "JWT": (lambda data: read_token(data.decode("latin-1")), Unauthenticated),
    "query": (lambda data: read_query(data, ()), InvalidRequest),
    "envelope": (lambda data: parse_envelope(UpstreamResponse(200, {}, data), 0), MalformedAnswer),
}


@pytest.mark.parametrize("decode", DECODERS.values(), ids=DECODERS)
@settings(deadline=None)
@given(data=everything)
def test_foreign_input_is_decoded_or_undecodable(decode: Callable[[bytes], Any], data: bytes) -> None:
    try:
        decode(data)
    except Undecodable as error:
        assert len(str(error)) < 200  # noqa: PT017


@pytest.mark.parametrize("decode", DECODERS.values(), ids=DECODERS)
@pytest.mark.parametrize("data", FOREIGN, ids=lambda data: repr(data[:12]))
def test_what_is_known_to_be_hard_is_no_other_error(decode: Callable[[bytes], Any], data: bytes) -> None:
    try:
        decode(data)
    except Undecodable:
        return


@pytest.mark.parametrize(("read", "error"), READERS.values(), ids=READERS)
@settings(deadline=None)
@given(data=everything)
@example(data=b"[" * 1100)
@example(data=b"9" * 5000)
@example(data=b"a = " + b"[" * 5000)
def test_each_reader_of_foreign_input_raises_its_own_error(
    read: Callable[[bytes], Any], error: type[Exception], data: bytes
) -> None:
    try:
        read(data)
    except error:
        return


@pytest.mark.parametrize("data", [None, 5, "text", [b"x"]])
def test_what_is_no_bytes_is_undecodable(data: Any) -> None:
    for decode in (JsonDecoder[Any](dict).decode, MsgpackDecoder[Any](dict).decode):
        with pytest.raises(Undecodable):
            decode(data)


def test_a_repeated_name_is_told_from_bad_syntax() -> None:
    with pytest.raises(RepeatedName):
        parse_json(b'{"a":1,"a":1}')


def test_what_is_compressed_is_whole_and_bounded() -> None:
    packed = zlib.compress(b"x" * 1000)
    assert decompress(packed, 1000) == b"x" * 1000
    for data, most in ((packed, 999), (packed[:-1], 1000), (b"", 1000)):
        with pytest.raises(Undecodable):
            decompress(data, most)


@settings(deadline=None)
@given(st.text(min_size=1, max_size=256))
@example("ibc/27394FB092D2ECCD56123C74F36E4C1F926001CEADA9CA97EA622B25F41E5EB2")
@example("%2F")
@example("%252F%")
@example("//")
def test_every_asset_id_has_a_path_that_leads_to_it_alone(asset_id: str) -> None:
    raw = f"/v1/portfolio/assets/{quote(asset_id, safe='')}"
    *before, segment = route_path(raw.encode(), "what the server decoded" if "%" in raw else raw).split("/")
    assert (before, read_asset_id(segment)) == (["", "v1", "portfolio", "assets"], asset_id)


@settings(deadline=None)
@given(st.binary(max_size=30))
def test_any_path_is_routed(raw: bytes) -> None:
    assert route_path(raw, "").count("/") <= raw.count(b"/")


def test_equal_texts_of_a_segment_are_routed_alike() -> None:
    for raw in (b"/ibc%2f%41%C3%A9", b"/%69bc%2FA\xc3\xa9"):
        assert route_path(raw, "") == "/ibc%2FAé"
