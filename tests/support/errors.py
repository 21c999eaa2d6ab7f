"""What every error answer must look like: a problem of RFC 9457, and below /v2/ the upstream's envelope."""

import httpx

from app.api.problem_kinds import PROBLEMS, ProblemKind

KINDS: dict[str, ProblemKind] = {kind.name: kind for kind in PROBLEMS.values()}

_MEMBERS = ["type", "title", "status", "detail", "instance", "requestId"]


def assert_problem(response: httpx.Response, name: str, *, instance: str | None = None) -> None:
    """Check that an answer is this problem, whole and consistent with its headers."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    problem = response.json()
    retry_after = response.headers.get("retry-after")
    more = (["retryAfter"] if retry_after else []) + (["keptFrom"] if name == "history-gone" else [])
    assert list(problem) == _MEMBERS + more
    kind = KINDS[name]
    assert (problem["type"], problem["title"]) == (f"/problems/{name}", kind.title), response.text
    assert response.status_code == problem["status"] == kind.status
    assert problem["detail"]
    assert instance is None or problem["instance"] == instance
    assert problem["requestId"] == response.headers["x-request-id"]
    assert retry_after is None or (problem["retryAfter"] == int(retry_after) >= 1)
    assert_not_storable(response)


def assert_envelope(response: httpx.Response, name: str) -> None:
    """Check that an answer below /v2/ is this problem in the upstream's clothes."""
    kind = KINDS[name]
    assert response.status_code == kind.status, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {"code": kind.code, "msg": kind.title, "data": None}
    assert_not_storable(response)


def assert_not_storable(response: httpx.Response) -> None:
    """Check that no cache keeps an error, and that it does not pass for a balance."""
    assert response.headers["cache-control"] == "no-store"
    assert not {"etag", "age", "cache-status"} & set(response.headers)
    assert int(response.headers["content-length"]) > 0
