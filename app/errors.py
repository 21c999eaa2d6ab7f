"""Everything that can go wrong, as one tree. Raised low, rendered in one table (`app/api/problem_kinds.py`).

TallygateError
├── RequestError                  what the caller sent, or may not have
│   ├── InvalidRequest
│   ├── Unauthenticated
│   ├── Forbidden
│   ├── UnknownMerchant
│   ├── UnknownAsset
│   ├── UnknownReconciliation
│   ├── NoReconciliation
│   ├── ViewGone
│   ├── UnknownPath
│   ├── MethodNotAllowed
│   ├── BodyTooSlow
│   ├── BodyTooLarge
│   ├── UriTooLong
│   ├── HeadersTooLarge
│   └── TooFast
├── UpstreamError                 why there is no fresh answer of the upstream
│   ├── UpstreamRefusal           it said no for good: never remembered as data, never covered by stale data
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
├── IssuerUnavailable             what is wanted of an issuer of callers' tokens cannot be had
├── StoreUnavailable              what is kept in Redis cannot be had while it is away
├── Incomplete                    a part of what was asked for failed, and the caller wanted all or nothing
├── NotCached                     `only-if-cached`, and nothing acceptable is
├── DeadlinePassed                the caller's time was up before an answer was there
├── InternalError                 a fault of ours
└── StartError                    the service cannot start: a wrong setting, a port in use
"""

from collections.abc import Mapping


class TallygateError(Exception):
    """Be the root of the tree. `detail` may be shown to callers: no secrets, no upstream text.

    `retry_after_seconds` says when it is worth trying again, `code` what the upstream's code was, where that is known.
    """

    def __init__(self, detail: str, *, retry_after_seconds: float | None = None, code: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_seconds = retry_after_seconds
        self.code = code


class RequestError(TallygateError):
    """Blame the caller's request."""


class InvalidRequest(RequestError):
    """Name the parameter, header or body that is wrong."""


class Unauthenticated(RequestError):
    """Say that no valid key came with the request."""


class Forbidden(RequestError):
    """Say that the caller may not read this, whether it exists or not."""


class UnknownMerchant(RequestError):
    """Say that the upstream knows no such merchant."""


class UnknownAsset(RequestError):
    """Say that the account has no row of this asset, which is not the same as zero of it."""


class UnknownReconciliation(RequestError):
    """Say that there is no reconciliation of this id."""


class NoReconciliation(RequestError):
    """Say that no reconciliation has come to a result yet."""


class ViewGone(RequestError):
    """Say that the version of the view that a cursor belongs to is no longer kept."""


class UnknownPath(RequestError):
    """Say that nothing is served at this path."""


class MethodNotAllowed(RequestError):
    """Name the methods that the path takes in `allow`."""

    def __init__(self, detail: str, *, allow: str) -> None:
        super().__init__(detail)
        self.allow = allow


class BodyTooSlow(RequestError):
    """Say that the request's body did not come in time."""


class BodyTooLarge(RequestError):
    """Say that the request's body is larger than the service reads."""


class UriTooLong(RequestError):
    """Say that path and query are longer than the service reads."""


class HeadersTooLarge(RequestError):
    """Say that the header section is larger than the service reads."""


class TooFast(RequestError):
    """Say that this caller has used up its rate."""


class UpstreamError(TallygateError):
    """Say why the upstream gave no answer that can be used."""


class UpstreamRefusal(UpstreamError):
    """Say that the upstream said no for good: a stale answer would hide it."""


class TokenRefused(UpstreamRefusal):
    """Say that the upstream does not accept the token."""


class AccessRefused(UpstreamRefusal):
    """Say that the upstream does not let this account or this address in."""


class MerchantInactive(UpstreamRefusal):
    """Say that the merchant has not passed, or has lost, the upstream's verification."""


class RequestRefused(UpstreamError):
    """Say that the upstream rejected our request as such: its contract may have changed."""


class UnknownCode(UpstreamError):
    """Say that the upstream answered with a code that is not documented."""


class MalformedAnswer(UpstreamError):
    """Name the place of the upstream's answer that is not as its document says."""


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
    """Say that the upstream failed by its own account (a 5xx, or its "try again")."""


class UpstreamBusy(UpstreamError):
    """Say that the upstream asked us to slow down."""


class BreakerOpen(UpstreamError):
    """Say that the upstream has failed so often that it is left alone for a while."""


class BudgetSpent(UpstreamError):
    """Say that asking now would exceed the rate that the upstream is promised."""


class UpstreamTimeout(UpstreamError):
    """Say that the upstream did not answer in time."""


class IssuerUnavailable(TallygateError):
    """Say why the keys of an issuer cannot be had, so that its tokens are neither good nor bad."""


class StoreUnavailable(TallygateError):
    """Say that what only Redis keeps cannot be read or written now."""


class Incomplete(TallygateError):
    """Name the parts that failed of an answer that its caller wants whole or not at all: by merchant, why."""

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
    """Say that nothing acceptable is stored and the caller wants no fetch (RFC 9111, 5.2.1.7)."""


class DeadlinePassed(TallygateError):
    """Say that the caller's time was up."""


class InternalError(TallygateError):
    """Say that the fault is ours, and nothing more."""


class StartError(TallygateError):
    """Say in one line why the service cannot start, and how to mend it."""
