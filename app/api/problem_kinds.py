"""The kinds of problems: one table from the error tree to names, statuses, titles and advice (RFC 9457)."""

from math import ceil
from typing import Final

from msgspec import UNSET, Struct, UnsetType

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
    NotKnownYet,
    RequestRefused,
    StoreUnavailable,
    TallygateError,
    TokenRefused,
    TooFast,
    TooOld,
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
    NotKnownYet: ProblemKind(
        "not-known-yet",
        503,
        "Nothing is known of it yet",
        "Try again after Retry-After: all merchants are being fetched, as fast as the budget allows.",
        _TRY_AGAIN,
    ),
    TooOld: ProblemKind(
        "too-old",
        503,
        "What is known is too old",
        "Accept an older answer (a larger max-age), or try again after Retry-After.",
        _TRY_AGAIN,
    ),
    NotCached: ProblemKind(
        "not-cached",
        504,
        "Nothing stored will do",
        "Ask without only-if-cached, or accept an older answer.",
        _TRY_AGAIN,
    ),
}


def kind_of(error: TallygateError) -> ProblemKind:
    """Find an error in the table."""
    return PROBLEMS[type(error)]


def retry_after_seconds(error: TallygateError) -> int | UnsetType:
    """Give whole seconds, rounded up and never 0; nothing where it is not known (RFC 9110, 10.2.3)."""
    return UNSET if error.retry_after_seconds is None else max(1, ceil(error.retry_after_seconds))
