"""Errors of the client.

TallygateError
├── StatusError                    an answer that refuses or fails; `status`, `retry_after_seconds`
│   ├── ProblemError               the gateway refuses, or cannot answer (RFC 9457); `kind` says why
│   │   ├── InvalidRequestError    400, 405, 408, 413, 414, 431: the request is wrong
│   │   ├── UnauthenticatedError   401: the key is unknown, or not valid now
│   │   ├── ForbiddenError         403: the caller may not read this
│   │   ├── NotFoundError          404: there is no such thing, or nothing of it yet
│   │   ├── GoneError              410: the view, cursor or past is no longer kept
│   │   ├── TooFastError           429: the caller is above its quota
│   │   └── UnavailableError       5xx: the gateway or the upstream cannot answer now
│   ├── EnvelopeError              the same below /v2/, in the upstream's own shape; `code`
│   └── UnexpectedAnswerError      what answered is no gateway
├── NoAnswerError                  nobody answered before the deadline
└── NotAcceptedError               an answer is older or less whole than its reader accepts
"""

from typing import Final

import msgspec
from msgspec import Struct

from tallygate_client.models import PartProblem


class TallygateError(Exception):
    """The root of the tree."""


class NoAnswerError(TallygateError):
    """Nobody answered before the deadline. The cause is the last failure of the network."""


class NotAcceptedError(TallygateError):
    """An answer is older or less whole than its reader accepts."""


class StatusError(TallygateError):
    """An answer that refuses or fails. It asks to wait for `retry_after_seconds` where waiting helps."""

    def __init__(self, message: str, status: int, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.status: Final = status
        self.retry_after_seconds: Final = retry_after_seconds


class UnexpectedAnswerError(StatusError):
    """What answered is not a gateway, or one of another version."""


class EnvelopeError(StatusError):
    """An error in the upstream's own shape. `code` is one of the upstream's document, or the status."""

    def __init__(self, code: int, message: str, status: int, retry_after_seconds: float | None) -> None:
        super().__init__(f"{code}: {message}", status, retry_after_seconds)
        self.code: Final = code


class FailedPart(Struct, frozen=True, rename="camel"):
    """A merchant that failed, and why."""

    merchant_id: int
    problem: PartProblem


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


class ProblemError(StatusError):
    """The gateway refuses, or cannot answer. `problem` is what it sent."""

    def __init__(self, problem: ProblemBody, status: int, retry_after_seconds: float | None) -> None:
        super().__init__(f"{problem.kind}: {problem.detail}", status, retry_after_seconds)
        self.problem: Final = problem
        self.kind: Final = problem.kind

    @property
    def request_id(self) -> str | None:
        """The id of the request, as in the gateway's log."""
        return self.problem.request_id


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


class _EnvelopeBody(Struct):
    code: int
    msg: str


def make_error(status: int, body: bytes, retry_after: str | None) -> StatusError:
    """Make the error of an answer with a status from 400 on. `retry_after` is its header."""
    seconds = read_seconds(retry_after)
    try:
        problem = msgspec.json.decode(body, type=ProblemBody)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _make_other_error(status, body, seconds)
    general = UnavailableError if status >= _FIRST_SERVER_ERROR else InvalidRequestError
    return _BY_STATUS.get(status, general)(problem, status, problem.retry_after if seconds is None else seconds)


def _make_other_error(status: int, body: bytes, seconds: float | None) -> StatusError:
    try:
        envelope = msgspec.json.decode(body, type=_EnvelopeBody)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return UnexpectedAnswerError(f"Something answered {status}, without a problem.", status, seconds)
    return EnvelopeError(envelope.code, envelope.msg, status, seconds)


def read_seconds(retry_after: str | None) -> float | None:
    """Read a `Retry-After` in seconds. The gateway sends no dates, and other dates are passed over."""
    return float(retry_after) if retry_after is not None and retry_after.isascii() and retry_after.isdigit() else None
