"""The tree of all errors. They are raised deep and rendered by one table (`app/api/problem_kinds.py`).

TallygateError
├── RequestError                  what the caller sent, or may not have
│   ├── InvalidRequest
│   ├── Unauthenticated
│   ├── BadSignature
│   ├── Forbidden
│   ├── UnknownMerchant
│   ├── UnknownAsset
│   ├── UnknownReconciliation
│   ├── NoReconciliation
│   ├── ViewGone
│   ├── NoHistory
│   ├── HistoryGone
│   ├── FeedEnded
│   ├── UnknownPath
│   ├── MethodNotAllowed
│   ├── BodyTooSlow
│   ├── BodyTooLarge
│   ├── UriTooLong
│   ├── HeadersTooLarge
│   ├── TooFast
│   └── TooManyStreams
├── UpstreamError                 why there is no fresh answer of the upstream
│   ├── UpstreamRefusal           a final refusal: never remembered as data, never covered by stale data
│   │   ├── TokenRefused
│   │   ├── AccessRefused
│   │   └── MerchantInactive
│   ├── RequestRefused
│   ├── UnknownCode
│   ├── MalformedAnswer
│   ├── Unreachable
│   ├── UpstreamFaulty
│   ├── UpstreamBusy
│   ├── BreakerOpen
│   ├── BudgetSpent
│   └── UpstreamTimeout
├── IssuerUnavailable             an issuer of callers' tokens cannot be read
├── StoreUnavailable              what only Redis keeps is unavailable while it is away
├── Incomplete                    a part of what was asked for failed, and the caller wanted all or nothing
├── NotCached                     `only-if-cached`, and nothing acceptable is
├── NotKnownYet                   nothing is known of a merchant, and a view of all does not wait for it
├── TooOld                        what is known is older than accepted, and a view of all does not wait for more
├── DeadlinePassed                the caller's time was up before an answer was there
├── InternalError                 a fault of ours
└── StartError                    the service cannot start: a wrong setting, a port in use
"""

from collections.abc import Mapping


class TallygateError(Exception):
    """The root of the tree. `detail` may be shown to callers: no secrets, no upstream text.

    A retry may succeed after `retry_after_seconds`; `code` is the upstream's. Either may be unknown.
    """

    def __init__(self, detail: str, *, retry_after_seconds: float | None = None, code: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_seconds = retry_after_seconds
        self.code = code


class RequestError(TallygateError):
    """The caller's request is at fault."""


class InvalidRequest(RequestError):
    """A parameter, header or body is wrong; `detail` names it."""


class Unauthenticated(RequestError):
    """No valid credential came with the request."""


class BadSignature(RequestError):
    """An event of the upstream has no signature, or a wrong one."""


class Forbidden(RequestError):
    """The caller may not read this, whether it exists or not."""


class UnknownMerchant(RequestError):
    """The upstream knows no such merchant."""


class UnknownAsset(RequestError):
    """The account has no row of this asset, which does not mean zero of it."""


class UnknownReconciliation(RequestError):
    """There is no reconciliation of this id."""


class NoReconciliation(RequestError):
    """No reconciliation has a result yet."""


class ViewGone(RequestError):
    """The version of the view of a cursor is no longer kept."""


class NoHistory(RequestError):
    """Nothing is known of an account's past, or no past is kept at all."""


class HistoryGone(RequestError):
    """What is asked for is older than what is kept, which begins at `kept_from_ms` (Unix milliseconds)."""

    def __init__(self, detail: str, *, kept_from_ms: int, retry_after_seconds: float | None = None) -> None:
        super().__init__(detail, retry_after_seconds=retry_after_seconds)
        self.kept_from_ms = kept_from_ms


class FeedEnded(RequestError):
    """The epoch of a cursor has ended: the store was lost."""


class UnknownPath(RequestError):
    """Nothing is served at this path."""


class MethodNotAllowed(RequestError):
    """The path does not support the method; `allow` names those that it does."""

    def __init__(self, detail: str, *, allow: str) -> None:
        super().__init__(detail)
        self.allow = allow


class BodyTooSlow(RequestError):
    """The request's body did not arrive in time."""


class BodyTooLarge(RequestError):
    """The request's body is larger than the service reads."""


class UriTooLong(RequestError):
    """Path and query are longer than the service reads."""


class HeadersTooLarge(RequestError):
    """The header section is larger than the service reads."""


class TooFast(RequestError):
    """The caller has used up its rate."""


class TooManyStreams(RequestError):
    """The caller, or this process, has as many streams as it may."""


class UpstreamError(TallygateError):
    """The upstream gave no usable answer."""


class UpstreamRefusal(UpstreamError):
    """The upstream refused for good: a stale answer would hide that."""


class TokenRefused(UpstreamRefusal):
    """The upstream does not accept the token."""


class AccessRefused(UpstreamRefusal):
    """The upstream does not admit this account or address."""


class MerchantInactive(UpstreamRefusal):
    """The merchant has not passed, or has lost, the upstream's verification."""


class RequestRefused(UpstreamError):
    """The upstream rejected our request as such: its contract may have changed."""


class UnknownCode(UpstreamError):
    """The upstream answered with an undocumented code."""


class MalformedAnswer(UpstreamError):
    """The upstream's answer is not as documented; `detail` names the place."""


class Unreachable(UpstreamError):
    """Say that no connection could be made, or that it broke.

    `reason` is for the log and no caller: it may name the operator's machinery. `is_repeatable` says that the peer had
    closed a kept connection before it read the request.
    """

    def __init__(
        self,
        detail: str,
        *,
        retry_after_seconds: float | None = None,
        code: int | None = None,
        reason: str | None = None,
        is_repeatable: bool = False,
    ) -> None:
        super().__init__(detail, retry_after_seconds=retry_after_seconds, code=code)
        self.reason = reason
        self.is_repeatable = is_repeatable


class UpstreamFaulty(UpstreamError):
    """The upstream reported a failure of its own (a 5xx, or its "try again")."""


class UpstreamBusy(UpstreamError):
    """The upstream asked us to slow down."""


class BreakerOpen(UpstreamError):
    """The circuit breaker is open, since the upstream has failed too often."""


class BudgetSpent(UpstreamError):
    """A call now would exceed the rate that the upstream allows."""


class UpstreamTimeout(UpstreamError):
    """The upstream did not answer in time."""


class IssuerUnavailable(TallygateError):
    """The keys of an issuer are unavailable, so that its tokens cannot be verified."""


class StoreUnavailable(TallygateError):
    """What only Redis keeps cannot be read or written now."""


class Incomplete(TallygateError):
    """Parts of an all-or-nothing answer failed: `failed` has the errors by merchant."""

    def __init__(
        self,
        detail: str,
        failed: Mapping[str, TallygateError] | None = None,
        *,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(detail, retry_after_seconds=retry_after_seconds)
        self.failed = failed or {}


class NotCached(TallygateError):
    """Nothing acceptable is stored and the caller wants no fetch (RFC 9111, 5.2.1.7)."""


class NotKnownYet(TallygateError):
    """Say that nothing is known of a merchant yet, and that it cannot be fetched in time."""


class TooOld(TallygateError):
    """Say that what is known of a merchant is older than accepted, and that it cannot be fetched in time."""


class DeadlinePassed(TallygateError):
    """The caller's deadline passed."""


class InternalError(TallygateError):
    """The fault is ours; nothing more is said."""


class StartError(TallygateError):
    """The service cannot start; `detail` says why in one line, and how to repair it."""
