"""Every error as its caller sees it: one table from the error tree to RFC 9457 problems, and below /v2/ to envelopes."""

from math import ceil
from typing import Annotated, Final, Self

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from app.api.replies import Reply
from app.api.views.accounts import UpstreamEnvelope
from app.errors import (
    AccessRefused,
    BodyTooLarge,
    BodyTooSlow,
    BreakerOpen,
    BudgetSpent,
    DeadlinePassed,
    Forbidden,
    HeadersTooLarge,
    Incomplete,
    InternalError,
    InvalidRequest,
    IssuerUnavailable,
    MalformedAnswer,
    MerchantInactive,
    MethodNotAllowed,
    NoReconciliation,
    NotCached,
    RequestRefused,
    StoreUnavailable,
    TallygateError,
    TokenRefused,
    TooFast,
    Unauthenticated,
    UnknownAsset,
    UnknownCode,
    UnknownMerchant,
    UnknownPath,
    UnknownReconciliation,
    Unreachable,
    UpstreamBusy,
    UpstreamFaulty,
    UpstreamTimeout,
    UriTooLong,
    ViewGone,
)

MEDIA_TYPE: Final = "application/problem+json"


class ProblemKind(Struct, frozen=True):
    """A kind of problem: its name in `/problems/<name>`, its status and title, and what a caller can do about it.

    `code` is what programs written for the upstream get below /v2/: a code of its document where one says the same,
    else the HTTP status.
    """

    name: str
    status: int
    title: str
    advice: str
    code: int


_PARAMETER: Final = -4010
_NO_MERCHANT: Final = -5006
_TRY_AGAIN: Final = -5046

_REFUSED = "Nothing you can change: tell whoever runs this service. Its log says what the upstream refused."
_LATER = "Try again later, after Retry-After where it is given. Cache-Control: max-stale accepts an older answer."

PROBLEMS: Final[dict[type[TallygateError], ProblemKind]] = {
    InvalidRequest: ProblemKind(
        "invalid-request", 400, "The request is wrong", "Mend what the detail names.", _PARAMETER
    ),
    Unauthenticated: ProblemKind(
        "unauthenticated", 401, "No valid key", "Send a key that whoever runs this service gave you.", 401
    ),
    Forbidden: ProblemKind(
        "forbidden", 403, "Not yours to read", "Ask whoever runs this service for the right to read it.", 403
    ),
    UnknownMerchant: ProblemKind(
        "unknown-merchant", 404, "No such merchant", "Check the id: the upstream does not know it.", _NO_MERCHANT
    ),
    UnknownAsset: ProblemKind(
        "unknown-asset", 404, "No such asset", "Read the account's balances to see its assets.", 404
    ),
    UnknownReconciliation: ProblemKind(
        "unknown-reconciliation", 404, "No such reconciliation", "Take the id from the Location of the POST.", 404
    ),
    NoReconciliation: ProblemKind(
        "no-reconciliation", 404, "There is no result yet", "Start one: POST /v1/portfolio/reconciliation.", 404
    ),
    ViewGone: ProblemKind(
        "view-gone", 410, "This version of the view is gone", "Begin again with the first page, without a cursor.", 410
    ),
    UnknownPath: ProblemKind(
        "unknown-path", 404, "Nothing is served here", "See /docs for the paths that there are.", 404
    ),
    MethodNotAllowed: ProblemKind(
        "method-not-allowed", 405, "Not with this method", "Use a method that the Allow header names.", 405
    ),
    BodyTooSlow: ProblemKind(
        "body-too-slow", 408, "The body did not come in time", "Send it again, at once and whole.", 408
    ),
    BodyTooLarge: ProblemKind("body-too-large", 413, "The body is too large", "Ask for less at once.", 413),
    UriTooLong: ProblemKind("uri-too-long", 414, "The URI is too long", "Ask for less at once.", 414),
    TooFast: ProblemKind("too-fast", 429, "You are too fast", "Wait for Retry-After, and keep to your rate.", 429),
    HeadersTooLarge: ProblemKind(
        "headers-too-large", 431, "The headers are too large", "Send fewer or shorter headers.", 431
    ),
    InternalError: ProblemKind(
        "internal-error", 500, "A fault of this service", "Tell whoever runs it, with the request id.", 500
    ),
    TokenRefused: ProblemKind("token-refused", 502, "The upstream refused our token", _REFUSED, 502),
    AccessRefused: ProblemKind("access-refused", 502, "The upstream did not let us in", _REFUSED, 502),
    MerchantInactive: ProblemKind(
        "merchant-inactive", 502, "The merchant is not active", "Finish its verification with the upstream.", 502
    ),
    RequestRefused: ProblemKind("request-refused", 502, "The upstream rejected our request", _REFUSED, 502),
    UnknownCode: ProblemKind("unknown-code", 502, "The upstream answered with an unknown code", _REFUSED, 502),
    MalformedAnswer: ProblemKind("malformed-answer", 502, "The upstream answered nonsense", _REFUSED, 502),
    Unreachable: ProblemKind("upstream-unreachable", 503, "The upstream cannot be reached", _LATER, _TRY_AGAIN),
    UpstreamFaulty: ProblemKind("upstream-faulty", 503, "The upstream failed", _LATER, _TRY_AGAIN),
    UpstreamBusy: ProblemKind("upstream-busy", 503, "The upstream asked us to slow down", _LATER, _TRY_AGAIN),
    BreakerOpen: ProblemKind("breaker-open", 503, "The upstream is left alone for a moment", _LATER, _TRY_AGAIN),
    BudgetSpent: ProblemKind("budget-spent", 503, "The upstream's budget is spent", _LATER, _TRY_AGAIN),
    UpstreamTimeout: ProblemKind("upstream-timeout", 504, "The upstream did not answer in time", _LATER, _TRY_AGAIN),
    DeadlinePassed: ProblemKind("deadline-passed", 504, "No answer was there in time", _LATER, _TRY_AGAIN),
    IssuerUnavailable: ProblemKind(
        "issuer-unavailable",
        503,
        "Your token cannot be checked now",
        "Try again later: the keys of its issuer cannot be had.",
        _TRY_AGAIN,
    ),
    StoreUnavailable: ProblemKind(
        "store-unavailable", 503, "The store is away", "Try again later: balances are served meanwhile.", _TRY_AGAIN
    ),
    Incomplete: ProblemKind(
        "incomplete", 502, "A part of it failed", "Ask again, or without require=complete for what there is.", 502
    ),
    NotCached: ProblemKind(
        "not-cached",
        504,
        "Nothing stored will do",
        "Ask without only-if-cached, or accept an older answer.",
        _TRY_AGAIN,
    ),
}


Merchant = Annotated[int, Meta(ge=1, description="The merchant, as the upstream numbers it.")]


class PartProblem(Struct, frozen=True, rename="camel", omit_defaults=True):
    """Why a part is missing (RFC 9457, as a member)."""

    type: Annotated[str, Meta(description="A path of this service that explains this kind of problem.")]
    title: str
    status: int
    detail: str
    retry_after: Annotated[int, Meta(ge=0, description="Seconds.")] | UnsetType = UNSET

    @classmethod
    def of(cls, error: TallygateError) -> Self:
        """Say what a single read of the part would have said."""
        kind, retry_after = kind_of(error), _retry_after(error)
        return cls(f"/problems/{kind.name}", kind.title, kind.status, error.detail, retry_after)


class FailedPart(Struct, frozen=True, rename="camel"):
    """A merchant that is missing in an answer that was wanted whole."""

    merchant_id: Merchant
    problem: PartProblem


class Problem(Struct, frozen=True, rename="camel", omit_defaults=True):
    """What went wrong (RFC 9457)."""

    type: Annotated[str, Meta(description="A path of this service that explains this kind of problem.")]
    title: str
    status: int
    detail: str
    instance: Annotated[str, Meta(description="The path that was asked for.")]
    request_id: str
    retry_after: Annotated[int, Meta(ge=0, description="Seconds, as in the Retry-After header.")] | UnsetType = UNSET
    failed: Annotated[tuple[FailedPart, ...], Meta(description="Each part that is missing.")] | UnsetType = UNSET


def kind_of(error: TallygateError) -> ProblemKind:
    """Find an error in the table."""
    return PROBLEMS[type(error)]


def render_problem(error: TallygateError, path: str, request_id: str) -> Reply:
    """Render an error as the caller at this path expects it."""
    kind, retry_after = kind_of(error), _retry_after(error)
    headers = [("Cache-Control", "no-store"), *_extra_headers(error, retry_after)]
    if path.startswith("/v2/"):
        body = msgspec.json.encode(UpstreamEnvelope(kind.code, kind.title, None))
        return Reply(kind.status, [("Content-Type", "application/json"), *headers], body)
    problem = Problem(
        type=f"/problems/{kind.name}",
        title=kind.title,
        status=kind.status,
        detail=error.detail,
        instance=path,
        request_id=request_id,
        retry_after=retry_after,
        failed=_failed(error),
    )
    return Reply(kind.status, [("Content-Type", MEDIA_TYPE), *headers], msgspec.json.encode(problem))


def _retry_after(error: TallygateError) -> int | UnsetType:
    return UNSET if error.retry_after_seconds is None else max(1, ceil(error.retry_after_seconds))


def _failed(error: TallygateError) -> tuple[FailedPart, ...] | UnsetType:
    if not isinstance(error, Incomplete):
        return UNSET
    return tuple(FailedPart(int(key), PartProblem.of(why)) for key, why in error.failed.items()) or UNSET


def _extra_headers(error: TallygateError, retry_after: int | UnsetType) -> list[tuple[str, str]]:
    headers = [] if retry_after is UNSET else [("Retry-After", str(retry_after))]
    match error:
        case Unauthenticated():
            return [*headers, ("WWW-Authenticate", 'Bearer realm="tallygate"')]
        case MethodNotAllowed(allow=allow):
            return [*headers, ("Allow", allow)]
        case BodyTooSlow():  # whose rest may still come (RFC 9110, 15.5.9)
            return [*headers, ("Connection", "close")]
        case _:
            return headers
