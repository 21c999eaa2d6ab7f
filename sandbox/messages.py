"""Messages: requests to the sandbox and its answers, without any I/O."""

import http
import re
from typing import Any

import msgspec

BALANCES_PATH = "/v2/assets/account/assets"

_MERCHANT_ID = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


class Request(msgspec.Struct, frozen=True):
    """Hold one whole request: header names in lower case, every query value in the order it came."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes
    peer: str

    def one(self, name: str) -> str | None:
        """Return the query parameter given exactly once; None when it is absent or repeated."""
        values = self.query.get(name, ())
        return values[0] if len(values) == 1 else None

    @property
    def merchant_id(self) -> int | None:
        """The merchant a balances call asks about; None for another path, or an id that is no plain number."""
        text = self.one("merchantId") if self.path == BALANCES_PATH else None
        return int(text) if text is not None and _MERCHANT_ID.fullmatch(text) else None


class Answer(msgspec.Struct, frozen=True):
    """One whole answer. The connection adds `Date` and the framing."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


def as_json(status: int, document: Any) -> Answer:
    """Render any JSON value as an answer."""
    return Answer(status=status, body=msgspec.json.encode(document))


def envelope(code: int, msg: str, data: Any = None, *, status: int = 200) -> Answer:
    """Render the upstream's envelope, the one shape of all its answers."""
    return as_json(status, {"code": code, "msg": msg, "data": data})


def refusal(status: http.HTTPStatus, msg: str | None = None) -> Answer:
    """Render an envelope for an HTTP error. The document names no code for these, so the status is the code."""
    return envelope(status.value, msg or status.name, status=status.value)


UNKNOWN_TOKEN = refusal(http.HTTPStatus.UNAUTHORIZED, "TOKEN_INVALID")
UNLISTED_ADDRESS = refusal(http.HTTPStatus.FORBIDDEN, "ADDRESS_NOT_LISTED")
