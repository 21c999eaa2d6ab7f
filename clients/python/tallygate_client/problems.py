"""Errors of the client.

TallygateError
├── ProblemError               the gateway refuses, or cannot answer (RFC 9457); `kind` says why
│   ├── InvalidRequestError    400, 405, 408, 413, 414, 431: the request is wrong
│   ├── UnauthenticatedError   401: the key is unknown, or not valid now
│   ├── ForbiddenError         403: the caller may not read this
│   ├── NotFoundError          404: there is no such thing, or nothing of it yet
│   ├── GoneError              410: the view, cursor or past is no longer kept
│   ├── TooFastError           429: the caller is above its quota
│   └── UnavailableError       5xx: the gateway or the upstream cannot answer now
├── NoAnswerError              nobody answered before the deadline
├── UnexpectedAnswerError      what answered is no gateway
└── NotAcceptedError           an answer is older or less whole than its reader accepts
"""

from typing import Any, Final

import msgspec
from msgspec import Struct


class TallygateError(Exception):
    """The root of the tree."""


class NoAnswerError(TallygateError):
    """Nobody answered before the deadline. The cause is the last failure of the network."""


class UnexpectedAnswerError(TallygateError):
    """What answered is not a gateway, or one of another version."""


class NotAcceptedError(TallygateError):
    """An answer is older or less whole than its reader accepts."""


class FailedPart(Struct, frozen=True, rename="camel"):
    """A merchant that failed, with the problem as the gateway sent it."""

    merchant_id: int
    problem: dict[str, Any]


class ProblemBody(Struct, frozen=True, rename="camel"):
    """A problem as it is sent (RFC 9457). `retry_after` is in seconds."""

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = None
    request_id: str | None = None
    retry_after: float | None = None
    kept_from: str | None = None
    failed: tuple[FailedPart, ...] = ()

    @property
    def kind(self) -> str:
        """The name of the kind, such as `unknown-merchant`."""
        return self.type.rpartition("/")[2]


class ProblemError(TallygateError):
    """The gateway refuses, or cannot answer. `problem` is what it sent."""

    def __init__(self, problem: ProblemBody) -> None:
        super().__init__(f"{problem.kind}: {problem.detail}")
        self.problem: Final = problem
        self.kind: Final = problem.kind
        self.status: Final = problem.status
        self.retry_after_seconds: Final = problem.retry_after


class InvalidRequestError(ProblemError):
    """The request is wrong; `problem.detail` names what."""


class UnauthenticatedError(ProblemError):
    """The key or token is unknown, or not valid now."""


class ForbiddenError(ProblemError):
    """The caller may not read this, whether it exists or not."""


class NotFoundError(ProblemError):
    """There is no such thing, or nothing of it yet."""


class GoneError(ProblemError):
    """The version of a view, the cursor, or the past is no longer kept."""


class TooFastError(ProblemError):
    """The caller is above its quota."""


class UnavailableError(ProblemError):
    """The gateway or the upstream cannot answer now."""


_BY_STATUS: Final[dict[int, type[ProblemError]]] = {
    401: UnauthenticatedError,
    403: ForbiddenError,
    404: NotFoundError,
    410: GoneError,
    429: TooFastError,
}
_FIRST_SERVER_ERROR: Final = 500


def make_error(status: int, body: bytes, retry_after: str | None) -> TallygateError:
    """Make the error of an answer with a status from 400 on. `retry_after` is its header."""
    try:
        problem = msgspec.json.decode(body, type=ProblemBody)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        seconds = read_seconds(retry_after)
        if seconds is None:
            return UnexpectedAnswerError(f"Something answered {status}, without a problem.")
        problem = ProblemBody("about:blank", "No problem was given", status, f"Status {status}.", retry_after=seconds)
    general = UnavailableError if status >= _FIRST_SERVER_ERROR else InvalidRequestError
    return _BY_STATUS.get(status, general)(problem)


def read_seconds(retry_after: str | None) -> float | None:
    """Read a `Retry-After` in seconds. The gateway sends no dates."""
    return float(retry_after) if retry_after is not None and retry_after.isascii() and retry_after.isdigit() else None
