"""Decoding of bytes and text from outside the process: whatever is wrong with them raises `Undecodable`.

Foreign input fails in many ways: bad syntax, bad UTF-8, nesting beyond the stack (`RecursionError`), and integers of
more digits than Python converts (`ValueError`). A test keeps all other modules from calling a decoder.
"""

import base64
import json
import re
import tomllib
import zlib
from typing import Any, Final, Generic, TypeVar
from urllib.parse import parse_qsl, unquote_to_bytes

import msgspec

T = TypeVar("T")

_FAILURES: Final = (ValueError, RecursionError, OverflowError, TypeError, zlib.error)
"""`ValueError` includes the errors of msgspec, TOML, base64 and UTF-8, `TypeError` what is no bytes at all."""

_NO_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")


class Undecodable(ValueError):
    """The input is not what was expected. The text names the place, where msgspec does, and never a value."""


class RepeatedName(Undecodable):
    """An object has a field twice, so that its meaning depends on the parser (RFC 8259, section 4)."""


class JsonDecoder(Generic[T]):
    """Decode JSON as one type, which may be a union."""

    def __init__(self, kind: Any) -> None:
        self._decoder: Final = msgspec.json.Decoder(kind)

    def decode(self, data: bytes) -> T:
        """Decode a whole document. Raises `Undecodable`."""
        try:
            decoded: T = self._decoder.decode(data)
        except _FAILURES as error:
            raise _undecodable(error) from None
        return decoded


class MsgpackDecoder(Generic[T]):
    """Decode MessagePack as one type."""

    def __init__(self, kind: type[T]) -> None:
        self._decoder: Final = msgspec.msgpack.Decoder(kind)

    def decode(self, data: bytes) -> T:
        """Decode a whole document. Raises `Undecodable`."""
        try:
            decoded: T = self._decoder.decode(data)
        except _FAILURES as error:
            raise _undecodable(error) from None
        return decoded


def decode_json(data: bytes | msgspec.Raw, kind: type[T]) -> T:
    """Decode JSON as a type. Raises `Undecodable`."""
    try:
        return msgspec.json.decode(data, type=kind)
    except _FAILURES as error:
        raise _undecodable(error) from None


def parse_json(data: bytes) -> object:
    """Parse JSON of any shape, integers exactly. Raises `Undecodable`, for NaN too, or `RepeatedName`."""
    try:
        return _STRICT.decode(data.decode())
    except RepeatedName:
        raise
    except _FAILURES as error:
        raise _undecodable(error) from None


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML. Raises `Undecodable`, with what tomllib says."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Undecodable(str(error)) from None
    except _FAILURES as error:
        raise _undecodable(error) from None


def convert(data: object, kind: type[T]) -> T:
    """Convert parsed data to a type. Raises `Undecodable`."""
    try:
        return msgspec.convert(data, kind)
    except _FAILURES as error:
        raise _undecodable(error) from None


def decode_base64url(text: str) -> bytes:
    """Decode base64url without padding (RFC 7515, section 2). Raises `Undecodable`."""
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except _FAILURES as error:
        raise _undecodable(error) from None


def decode_base64(text: str) -> bytes:
    """Decode base64 with padding. Raises `Undecodable`."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise _undecodable(error) from None


def decode_hex(text: str) -> bytes:
    """Decode hex, without spaces. Raises `Undecodable`."""
    if not text.isalnum():
        raise Undecodable("it is not hex")
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise _undecodable(error) from None


def decompress(data: bytes, max_bytes: int) -> bytes:
    """Decompress zlib data of at most `max_bytes`. Raises `Undecodable`, also for a larger or a truncated one."""
    stream = zlib.decompressobj()
    try:
        found = stream.decompress(data, max_bytes + 1)
    except _FAILURES as error:
        raise _undecodable(error) from None
    if len(found) > max_bytes or not stream.eof:
        raise Undecodable("truncated, or too large")
    return found


def decode_percent(data: bytes) -> str:
    """Decode percent-encoded UTF-8 (RFC 3986, section 2.1). Raises `Undecodable`, also for a `%` without two digits."""
    if _NO_ESCAPE.search(data):
        raise Undecodable("a percent sign without two digits")
    try:
        return unquote_to_bytes(data).decode()
    except _FAILURES as error:
        raise _undecodable(error) from None


def parse_query(query: bytes) -> list[tuple[str, str]]:
    """Parse the parameters of a query. Raises `Undecodable` if it is not percent-encoded UTF-8."""
    try:
        return parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict")
    except _FAILURES as error:
        raise _undecodable(error) from None


def _undecodable(error: Exception) -> Undecodable:
    return Undecodable(str(error) if isinstance(error, msgspec.ValidationError) else type(error).__name__)


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise RepeatedName("a field comes twice")
    return names


def _refuse_constant(_: str) -> object:
    raise Undecodable("NaN or Infinity")


_STRICT: Final = json.JSONDecoder(object_pairs_hook=_unambiguous, parse_constant=_refuse_constant)
