"""Parsing of the upstream's envelope: status and bytes become data or an error. Pure."""

from collections.abc import Container, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

import msgspec

from app.balances.normalisation import PlainAccount
from app.decoding import JsonDecoder, RepeatedName, Undecodable, convert, parse_json
from app.errors import (
    AccessRefused,
    MalformedAnswer,
    MerchantInactive,
    RequestRefused,
    TokenRefused,
    UnknownCode,
    UnknownMerchant,
    UpstreamBusy,
    UpstreamError,
    UpstreamFaulty,
)

SUCCESS: Final = 200
_PARAMETER_CODES: Final = range(-4026, -4009)
LONGEST_RETRY_AFTER_SECONDS: Final = 3600.0
_DEFAULT_RETRY_AFTER_SECONDS: Final = 1.0
_MOST_DIGITS: Final = 18
_MOST_CODE: Final = 2**63 - 1
"""A code goes into log lines, so its digits are bounded."""


class UpstreamResponse(msgspec.Struct, frozen=True):
    """A response: headers with lower-case names, the body as sent."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Envelope(msgspec.Struct):
    code: Annotated[int, msgspec.Meta(ge=-_MOST_CODE, le=_MOST_CODE)]
    data: Any = None


class _PlainEnvelope(msgspec.Struct, gc=False):
    """A successful balances answer, as documented."""

    code: Literal[200]
    msg: str
    data: PlainAccount


_PLAIN_QUOTES: Final = 12
_ROW_QUOTES: Final = 24
"""The quotation marks of a plain answer without rows, and of each row: two for each name and each text."""

_plain: Final[JsonDecoder[_PlainEnvelope]] = JsonDecoder(_PlainEnvelope)


def read_plain(answer: UpstreamResponse) -> PlainAccount | None:
    """Return the `data` of a balances answer that has the documented fields, each once, and no other; else None.

    What is None here is for `parse_envelope`, which says what it is. Each documented field was found, so the number of
    quotation marks shows that there is none besides: an escaped one only adds to it.
    """
    body = answer.body
    if answer.status != HTTPStatus.OK or not _is_as_asked(answer):
        return None
    try:
        account = _plain.decode(body).data
    except Undecodable:
        return None
    return account if body.count(b'"') == _PLAIN_QUOTES + _ROW_QUOTES * len(account.balances) else None


def parse_envelope(answer: UpstreamResponse, now: float, successes: Container[int] = (SUCCESS,)) -> object:
    """Return the decoded `data` of a successful answer. `now` is Unix seconds, for a `Retry-After` date.

    `successes` are the codes of success, on which the document is inconsistent outside the balances.

    A documented code takes precedence over the HTTP status, since the document ties no status to it. Raises
    `UnknownMerchant`, or the `UpstreamError` that the answer means.
    """
    envelope = _read_envelope(answer)
    if isinstance(envelope, MalformedAnswer):
        raise _by_status(answer, now) or envelope
    if envelope.code not in successes and (known := _by_code(envelope.code)):
        raise known
    if refused := _by_status(answer, now):
        raise refused
    if envelope.code not in successes:
        raise UnknownCode("The upstream answered with a code that is not documented.", code=envelope.code)
    return envelope.data


def _read_envelope(answer: UpstreamResponse) -> _Envelope | MalformedAnswer:
    if not _is_as_asked(answer):
        return MalformedAnswer("The upstream compressed its answer although it was asked not to.")
    try:
        content = parse_json(answer.body)
    except RepeatedName:
        return MalformedAnswer("The upstream's answer names a field twice.")
    except Undecodable:
        return MalformedAnswer("The upstream's answer is not JSON.")
    try:
        return convert(content, _Envelope)
    except Undecodable as error:
        return MalformedAnswer(f"The upstream's envelope is not as documented: {error}.")


def _is_as_asked(answer: UpstreamResponse) -> bool:
    """Return whether the body is not compressed."""
    return answer.headers.get("content-encoding", "").strip().lower() in {"", "identity"}


def _by_code(code: int) -> Exception | None:
    """Return the error of a documented code (upstream.md, "Errors")."""
    match code:
        case -5006 | -5007:
            return UnknownMerchant("The upstream knows no such merchant.")
        case -5033 | -5032:
            return AccessRefused("The upstream does not let this account use its API.")
        case -5043 | -5062 | -5066:
            return MerchantInactive("The merchant is not active with the upstream.")
        case -5046 | -4040 | -4041:
            return UpstreamFaulty("The upstream failed and asks to try again.")
        case _ if code in _PARAMETER_CODES:
            return RequestRefused("The upstream rejected a parameter of our request.")
        case _:
            return None


def _by_status(answer: UpstreamResponse, now: float) -> UpstreamError | None:
    match answer.status:
        case HTTPStatus.OK:
            return None
        case HTTPStatus.UNAUTHORIZED:
            return TokenRefused("The upstream does not accept our token.")
        case HTTPStatus.FORBIDDEN:
            return AccessRefused("The upstream does not let us in: this address may not be on its list.")
        case HTTPStatus.TOO_MANY_REQUESTS:
            wait = read_retry_after(answer.headers.get("retry-after", ""), now)
            return UpstreamBusy("The upstream asked us to slow down.", retry_after_seconds=wait)
        case status if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return UpstreamFaulty(f"The upstream failed (HTTP {status}).")
        case status:
            return MalformedAnswer(f"The upstream answered with an unexpected HTTP {status}.")


def read_retry_after(value: str, now: float) -> float:
    """Parse a `Retry-After` (RFC 9110, 10.2.3) as seconds from `now`, between 0 and an hour; 1 s if it is absent."""
    if value.isascii() and value.isdigit():
        return min(float(value[:_MOST_DIGITS]), LONGEST_RETRY_AFTER_SECONDS)
    at = read_http_date(value)
    if at is None:
        return _DEFAULT_RETRY_AFTER_SECONDS
    return min(max(at - now, 0.0), LONGEST_RETRY_AFTER_SECONDS)


def read_http_date(value: str) -> float | None:
    """Read an HTTP date (RFC 9110, 5.6.7) as Unix seconds; None if it is no date, or one that no calendar has."""
    try:
        date = parsedate_to_datetime(value)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
