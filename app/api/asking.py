"""One request for balances: who asks, on which terms, and how the answer goes back."""

from collections.abc import Callable
from typing import Any, Final

from litestar import Request, Response

from app.access.callers import Caller, authorise
from app.api.answers import render_answer
from app.api.directives import read_terms
from app.api.replies import Reply
from app.api.views import View
from app.balances.snapshots import Key
from app.cache.freshness import Policy
from app.desk import Question, Told

AnyRequest = Request[Any, Any, Any]


class Asking:
    """Stand between a handler and its request. `now_ms` is Unix time in milliseconds."""

    def __init__(self, request: AnyRequest, policy: Policy, now_ms: Callable[[], int]) -> None:
        self._request: Final = request
        self._policy: Final = policy
        self._now_ms: Final = now_ms
        self._caller: Final[Caller] = request.state["caller"]

    def authorise(self, key: Key) -> Key:
        """Give the key back if the caller may read it. Raises `Forbidden`."""
        authorise(self._caller, key)
        return key

    def question(self) -> Question:
        """Say who asks, and on which terms. Raises `InvalidRequest`."""
        cache_control = ",".join(self._request.headers.getall("cache-control", []))
        return Question(self._caller.name, read_terms(cache_control, self._now_ms(), self._policy.fresh_ms))

    def reply(self, view: View, told: Told) -> Response[bytes]:
        """Send a view, or a 304 if the caller has it."""
        if_none_match = ",".join(self._request.headers.getall("if-none-match", []))
        return as_response(render_answer(view, told.served, self._policy, self._now_ms(), if_none_match))


def as_response(reply: Reply) -> Response[bytes]:
    """Hand a finished reply to Litestar."""
    headers = dict(reply.headers)
    media_type = headers.pop("Content-Type", None)
    return Response(reply.body, status_code=reply.status, headers=headers, media_type=media_type)
