"""Faults: everything that can go wrong upstream, each as a value, and which of them a request meets.

`Fault` is the closed set. It falls into four: those that hold an answer back (`Hold`), those that give another one
(`Replacement`), those that alter its document (`Alteration`), and those that break it on the wire (`Breakage`).
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from sandbox.messages import Request

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
HeaderText = Annotated[str, msgspec.Meta(pattern="^[\x20-\x7e]*$")]
Status = Annotated[int, msgspec.Meta(ge=200, le=599)]


def _kebab(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


def _camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), name)


class Common(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=_kebab, rename="camel", forbid_unknown_fields=True
):
    """Say whom a fault meets: a share of the requests, so many times, only these merchants, only these paths."""

    share: Share = 1.0
    times: Annotated[int, msgspec.Meta(ge=1)] | None = None
    merchants: frozenset[int] | None = None
    paths: frozenset[str] | None = None

    def meets(self, request: Request) -> bool:
        """Say whether a request is one of those this fault is for."""
        return (self.paths is None or request.path in self.paths) and (
            self.merchants is None or request.merchant_id in self.merchants
        )


class Latency(Common, frozen=True):
    """Answer later, by `seconds` and up to `jitter_seconds` more."""

    seconds: Seconds
    jitter_seconds: Seconds = 0.0


class Hang(Common, frozen=True):
    """Answer nothing until the fault is removed or the client leaves."""


class HttpStatus(Common, frozen=True, tag="status"):
    """Answer with a status; a text body is sent as it is, any other as JSON, none as an envelope."""

    status: Status
    body: Any = None


class RateLimited(Common, frozen=True):
    """Answer 429, with `Retry-After` in seconds, or verbatim when a date is given, or without it."""

    retry_after_seconds: Annotated[int, msgspec.Meta(ge=0)] | None = None
    retry_after_date: HeaderText | None = None


class Malformed(Common, frozen=True):
    """Answer 200 with something that is no JSON."""


class Html(Common, frozen=True):
    """Answer with the error page of a proxy in between: 502, text/html."""


class Redirect(Common, frozen=True):
    """Point elsewhere."""

    location: HeaderText
    status: Status = 302


class TokenExpired(Common, frozen=True):
    """Refuse the token, good or not: 401."""


class AddressNotListed(Common, frozen=True):
    """Refuse the caller's address: 403."""


class Code(Common, frozen=True):
    """Answer an error envelope, by default with HTTP 200."""

    code: int
    msg: str = "ERROR"
    http_status: Status = 200


class Empty(Common, frozen=True):
    """Answer 200 with no body at all."""


class WrongTypes(Common, frozen=True):
    """Send amounts as JSON floats and `canDeposit` as "yes"."""


class Amount(Common, frozen=True):
    """Replace one amount of the first row by any JSON value; in-process also by `msgspec.Raw`, to the letter."""

    value: Any
    field: Literal["total", "free", "locked"] = "total"


class DuplicateRow(Common, frozen=True):
    """Send the first row twice."""


class DuplicateName(Common, frozen=True):
    """Name the first row's `total` twice, the second time with another amount."""


class TotalMismatch(Common, frozen=True):
    """Let the first row's total be one more than free + locked."""


class UnknownField(Common, frozen=True):
    """Add a field nobody knows to the envelope, to its data and to every row."""


class Drip(Common, frozen=True):
    """Send the answer, head and all, a byte at a time."""

    bytes_per_second: Positive = 1.0


class Reset(Common, frozen=True):
    """Reset the connection in the middle of the body."""


class Truncated(Common, frozen=True):
    """Close the connection in the middle of the body."""


class GzipBomb(Common, frozen=True):
    """Send the answer followed by so many megabytes of spaces, gzipped though nobody asked for it."""

    megabytes: Positive = 50.0


class Huge(Common, frozen=True):
    """Send the answer followed by spaces, chunked: so many megabytes, or without end."""

    megabytes: Positive | None = None


class Close(Common, frozen=True):
    """Close the connection before any byte of an answer."""


Hold = Latency | Hang
Replacement = HttpStatus | RateLimited | Malformed | Html | Redirect | TokenExpired | AddressNotListed | Code | Empty
Alteration = WrongTypes | Amount | DuplicateRow | DuplicateName | TotalMismatch | UnknownField
Breakage = Drip | Reset | Truncated | GzipBomb | Huge | Close
Fault = Hold | Replacement | Alteration | Breakage


def fault_named(kind: str, fields: Mapping[str, Any]) -> Fault:
    """Make a fault from its kind and its fields, in snake_case; raise `msgspec.ValidationError` for a wrong one."""
    document = {"kind": kind} | {_camel(name): value for name, value in fields.items()}
    fault: Fault = msgspec.convert(document, Fault)
    return fault
