"""Problem kinds: one table from the error tree to names, statuses, titles and advice (RFC 9457)."""

from math import ceil
from typing import Final

from msgspec import UNSET, Struct, UnsetType

from app import errors
from app.errors import TallygateError


class ProblemKind(Struct, frozen=True):
    """A kind of problem: its name in `/problems/<name>`, status and title, and what a caller can do about it.

    `upstream_code` is a code of the upstream's document that says the same, if there is one.
    """

    name: str
    status: int
    title: str
    advice: str
    upstream_code: int | None = None

    @property
    def code(self) -> int:
        """The code that programs written for the upstream get below /v2/."""
        return self.status if self.upstream_code is None else self.upstream_code


_PARAMETER: Final = -4010
_NO_MERCHANT: Final = -5006
_TRY_AGAIN: Final = -5046

_LESS = "Ask for less in one request."
_REFUSED = "Contact the operator of this service. The service's log says what the upstream refused."
_LATER = "Try again later, after Retry-After if it is given. Cache-Control: max-stale accepts an older answer."

PROBLEMS: Final[dict[type[TallygateError], ProblemKind]] = {
    errors.InvalidRequest: ProblemKind(
        "invalid-request", 400, "Invalid request", "Correct what the detail names.", _PARAMETER
    ),
    errors.Unauthenticated: ProblemKind(
        "unauthenticated", 401, "No valid key", "Send a key from the operator of this service, or a valid token."
    ),
    errors.BadSignature: ProblemKind(
        "bad-signature", 401, "The signature is wrong", "Register the webhook's public key with the operator."
    ),
    errors.Forbidden: ProblemKind("forbidden", 403, "Access denied", "Ask the operator of this service for access."),
    errors.UnknownMerchant: ProblemKind(
        "unknown-merchant", 404, "No such merchant", "Check the id: the upstream does not know it.", _NO_MERCHANT
    ),
    errors.UnknownAsset: ProblemKind(
        "unknown-asset", 404, "No such asset", "Read the account's balances to see its assets."
    ),
    errors.UnknownReconciliation: ProblemKind(
        "unknown-reconciliation", 404, "No such reconciliation", "Use the id in the Location header of the POST."
    ),
    errors.NoReconciliation: ProblemKind(
        "no-reconciliation", 404, "No result yet", "Start a reconciliation: POST /v1/portfolio/reconciliation."
    ),
    errors.ViewGone: ProblemKind(
        "view-gone", 410, "This version of the view has expired", "Start with the first page, without a cursor."
    ),
    errors.NoHistory: ProblemKind(
        "no-history", 404, "No history", "Its past is known from its first read on, where the service keeps a history."
    ),
    errors.HistoryGone: ProblemKind(
        "history-gone", 410, "This past is not kept any more", "Ask for what is later than keptFrom, or begin again."
    ),
    errors.FeedEnded: ProblemKind(
        "feed-gone", 410, "The feed of this cursor has ended", "Read the balances, and begin without a cursor."
    ),
    errors.UnknownPath: ProblemKind("unknown-path", 404, "Unknown path", "See /docs for the available paths."),
    errors.MethodNotAllowed: ProblemKind(
        "method-not-allowed", 405, "Method not allowed", "Use a method that the Allow header names."
    ),
    errors.BodyTooSlow: ProblemKind(
        "body-too-slow", 408, "The body did not arrive in time", "Send the request again, without pauses."
    ),
    errors.BodyTooLarge: ProblemKind("body-too-large", 413, "The body is too large", _LESS),
    errors.UriTooLong: ProblemKind("uri-too-long", 414, "The URI is too long", _LESS),
    errors.TooFast: ProblemKind(
        "too-fast", 429, "Too many requests", "Wait as long as Retry-After says, and stay within your rate."
    ),
    errors.TooManyStreams: ProblemKind(
        "too-many-streams", 429, "Too many streams", "End another stream, or wait as long as Retry-After says."
    ),
    errors.HeadersTooLarge: ProblemKind(
        "headers-too-large", 431, "The headers are too large", "Send fewer or shorter headers."
    ),
    errors.InternalError: ProblemKind(
        "internal-error", 500, "Internal error", "Report it to the operator of this service, with the request id."
    ),
    errors.TokenRefused: ProblemKind("token-refused", 502, "The upstream refused our token", _REFUSED),
    errors.AccessRefused: ProblemKind("access-refused", 502, "The upstream denied us access", _REFUSED),
    errors.MerchantInactive: ProblemKind(
        "merchant-inactive", 502, "The merchant is not active", "Finish its verification with the upstream."
    ),
    errors.RequestRefused: ProblemKind("request-refused", 502, "The upstream rejected our request", _REFUSED),
    errors.UnknownCode: ProblemKind("unknown-code", 502, "The upstream answered with an unknown code", _REFUSED),
    errors.MalformedAnswer: ProblemKind("malformed-answer", 502, "The upstream's answer is malformed", _REFUSED),
    errors.Unreachable: ProblemKind("upstream-unreachable", 503, "The upstream is unreachable", _LATER, _TRY_AGAIN),
    errors.UpstreamFaulty: ProblemKind("upstream-faulty", 503, "The upstream failed", _LATER, _TRY_AGAIN),
    errors.UpstreamBusy: ProblemKind("upstream-busy", 503, "The upstream is busy", _LATER, _TRY_AGAIN),
    errors.BreakerOpen: ProblemKind("breaker-open", 503, "Upstream calls are suspended", _LATER, _TRY_AGAIN),
    errors.BudgetSpent: ProblemKind("budget-spent", 503, "The upstream call budget is spent", _LATER, _TRY_AGAIN),
    errors.UpstreamTimeout: ProblemKind(
        "upstream-timeout", 504, "The upstream did not answer in time", _LATER, _TRY_AGAIN
    ),
    errors.DeadlinePassed: ProblemKind("deadline-passed", 504, "No answer in time", _LATER, _TRY_AGAIN),
    errors.IssuerUnavailable: ProblemKind(
        "issuer-unavailable",
        503,
        "Your token cannot be checked now",
        "Try again later: its issuer is unreachable.",
        _TRY_AGAIN,
    ),
    errors.StoreUnavailable: ProblemKind(
        "store-unavailable", 503, "Redis is unavailable", "Try again later. Balances are still served.", _TRY_AGAIN
    ),
    errors.Incomplete: ProblemKind(
        "incomplete", 502, "A part is missing", "Ask again, or without require=complete for the other parts."
    ),
    errors.NotKnownYet: ProblemKind(
        "not-known-yet",
        503,
        "Nothing is known of it yet",
        "Try again after Retry-After: all merchants are being fetched, as fast as the budget allows.",
        _TRY_AGAIN,
    ),
    errors.TooOld: ProblemKind(
        "too-old",
        503,
        "What is known is too old",
        "Accept an older answer (a larger max-age), or try again after Retry-After.",
        _TRY_AGAIN,
    ),
    errors.NotCached: ProblemKind(
        "not-cached",
        504,
        "No stored answer is acceptable",
        "Do not send only-if-cached, or allow more age.",
        _TRY_AGAIN,
    ),
}


def kind_of(error: TallygateError) -> ProblemKind:
    """Find the kind of an error."""
    return PROBLEMS[type(error)]


def retry_after_seconds(error: TallygateError) -> int | UnsetType:
    """Return whole seconds, rounded up and never 0, if they are known (RFC 9110, 10.2.3)."""
    return UNSET if error.retry_after_seconds is None else max(1, ceil(error.retry_after_seconds))
