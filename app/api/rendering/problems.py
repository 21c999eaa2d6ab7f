"""Problems: errors as responses (RFC 9457), and below /v2/ as the upstream's envelopes."""

from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from app.api.problem_kinds import kind_of, retry_after_seconds
from app.api.replies import Reply
from app.api.views.accounts import UpstreamEnvelope, format_time
from app.api.views.problems import FailedPart, PartProblem, Problem
from app.errors import BodyTooSlow, HistoryGone, Incomplete, MethodNotAllowed, TallygateError, Unauthenticated

MEDIA_TYPE: Final = "application/problem+json"


def render_problem(error: TallygateError, path: str, request_id: str) -> Reply:
    """Render an error in the form of this path."""
    kind, retry_after = kind_of(error), retry_after_seconds(error)
    headers = [("Cache-Control", "no-store"), *_extra_headers(error, retry_after)]
    if path.startswith("/v2/"):
        body = msgspec.json.encode(UpstreamEnvelope(kind.code, kind.title, None))
        return Reply.of(kind.status, [("Content-Type", "application/json"), *headers], body)
    problem = Problem(
        type=f"/problems/{kind.name}",
        title=kind.title,
        status=kind.status,
        detail=error.detail,
        instance=path,
        request_id=request_id,
        retry_after=retry_after,
        kept_from=format_time(error.kept_from_ms) if isinstance(error, HistoryGone) else UNSET,
        failed=_failed(error),
    )
    return Reply.of(kind.status, [("Content-Type", MEDIA_TYPE), *headers], msgspec.json.encode(problem))


def _failed(error: TallygateError) -> tuple[FailedPart, ...] | UnsetType:
    if not isinstance(error, Incomplete):
        return UNSET
    return tuple(FailedPart(int(account_id), PartProblem.of(why)) for account_id, why in error.failed.items()) or UNSET


def _extra_headers(error: TallygateError, retry_after: int | UnsetType) -> list[tuple[str, str]]:
    headers = [] if retry_after is UNSET else [("Retry-After", str(retry_after))]
    match error:
        case Unauthenticated():
            return [*headers, ("WWW-Authenticate", 'Bearer realm="tallygate"')]
        case MethodNotAllowed(allow=allow):
            return [*headers, ("Allow", allow)]
        case BodyTooSlow():  # the rest of the body may still arrive (RFC 9110, 15.5.9)
            return [*headers, ("Connection", "close")]
        case _:
            return headers
