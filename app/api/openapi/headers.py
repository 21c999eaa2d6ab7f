"""OpenAPI headers: those that requests may have, and those of answers."""

from typing import Any, Final

_WITH_DIRECTIVES: Final = {
    "getMerchantBalances",
    "getAssetBalance",
    "getPortfolio",
    "getUpstreamBalances",
    "getBalances",
    "queryBalances",
    "getBreakdown",
    "getHolders",
}
"""Operations that heed `Cache-Control`."""

_STREAM: Final = "watch"
_WAITING: Final = "getChanges"
_UNCACHED: Final = {"getMerchantChanges", "getPortfolioChanges", _WAITING, "getMe"}
"""Operations whose answers no cache keeps."""

REQUEST_HEADERS: Final[dict[str, Any]] = {
    "Cache-Control": {
        "name": "Cache-Control",
        "in": "header",
        "description": "How old the answer may be (RFC 9111, 5.2.1): max-age, max-stale, min-fresh, no-cache, only-if-cached.",
        "schema": {"type": "string", "examples": ["max-age=10"]},
    },
    "Prefer": {
        "name": "Prefer",
        "in": "header",
        "description": "wait=n: wait up to n seconds for what is new, 25 at most (RFC 7240); beside If-None-Match, if that is taken.",
        "schema": {"type": "string", "examples": ["wait=20"]},
    },
    "Last-Event-ID": {
        "name": "Last-Event-ID",
        "in": "header",
        "description": "The id of the last event that you have.",
        "schema": {"type": "string"},
    },
    "If-None-Match": {
        "name": "If-None-Match",
        "in": "header",
        "description": "The ETag of the answer that you have: 304 if it is still so.",
        "schema": {"type": "string", "examples": ['W/"1f8e"']},
    },
}


def _header(description: str, *examples: str | int, kind: str = "string") -> dict[str, Any]:
    return {"description": description, "schema": {"type": kind, "examples": [*examples]}}


RESPONSE_HEADERS: Final[dict[str, Any]] = {
    "Age": _header("Seconds since the upstream said the oldest part of it.", 3, kind="integer"),
    "Cache-Control": _header("How long your own cache may answer.", "private, max-age=5"),
    "Cache-Status": _header(
        "Where the answer came from (RFC 9211); a negative ttl means stale.", "tallygate; hit; ttl=3"
    ),
    "ETag": _header("The tag of the content, without its times (RFC 9110, 8.8.3).", 'W/"1f8e"'),
    "Link": _header("The next page, if there is one (RFC 8288).", '</v1/merchants?after=1>; rel="next"'),
    "Location": _header("The path of what was started.", "/v1/portfolio/reconciliations/4f"),
    "Preference-Applied": _header("How long the request would have waited (RFC 7240).", "wait=20"),
    "RateLimit": _header("What is left of your quota, and in how many seconds it is whole.", '"default";r=49;t=1'),
    "RateLimit-Policy": _header("Your quota.", '"default";q=50;w=1'),
    "Retry-After": _header("Seconds to wait before another request.", 2, kind="integer"),
    "Vary": _header("The headers of a request that change the answer.", "Authorization, X-BH-TOKEN"),
    "X-Request-Id": _header("The id of the request, as in the log. Send one to choose it.", "b671cd55"),
}

_MAY_WAIT: Final = {429, 502, 503, 504}
_OK: Final = 200
_ACCEPTED: Final = 202
_FIRST_ERROR: Final = 400


def request_headers(method: str, operation: dict[str, Any]) -> list[str]:
    """Name the headers of requests that an operation heeds, beside the key."""
    names = ["Cache-Control"] if operation["operationId"] in _WITH_DIRECTIVES else []
    if operation["operationId"] == _STREAM:
        return ["Last-Event-ID"]
    is_conditional = method == "get" and "304" in operation["responses"]
    names += ["Prefer"] if operation["operationId"] == _WAITING or (names and is_conditional) else []
    return [*names, "If-None-Match"] if is_conditional else names


def response_headers(operation: dict[str, Any], status: int) -> list[str]:
    """Name the headers that an answer can have."""
    names = ["X-Request-Id"]
    if operation["security"] or status >= _FIRST_ERROR:
        names += ["RateLimit", "RateLimit-Policy"]
    if status in _MAY_WAIT:
        names.append("Retry-After")
    if status == _ACCEPTED:
        names.append("Location")
    if status == _OK and operation["operationId"] == _STREAM:
        return [*names, "Cache-Control", "Vary"]
    if status in {_OK, 304} and operation["security"]:
        if operation["operationId"] in _UNCACHED:
            return [*names, "Cache-Control", "Vary", *(["Preference-Applied"] * (operation["operationId"] == _WAITING))]
        names += ["ETag", "Age", "Cache-Control", "Cache-Status", "Vary"]
        names += ["Preference-Applied"] if operation["operationId"] in _WITH_DIRECTIVES else []
        pages = any(parameter.get("name") == "after" for parameter in operation.get("parameters", ()))
        names += ["Link"] if pages else []
    return names
