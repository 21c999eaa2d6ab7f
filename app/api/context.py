"""Request context: what the layers know of one request, and how an error or a finished reply is sent to it."""

from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from litestar.types import HTTPScope, Scope, Send
from msgspec import Struct

from app.access.callers import Caller
from app.access.quotas import Headers
from app.api.problem_kinds import kind_of
from app.api.rendering.problems import render_problem
from app.api.replies import Reply, as_body
from app.balances.snapshots import AccountId
from app.errors import InternalError, TallygateError

CONTEXT: Final = "context"
"""The key of the context in the `state` of an ASGI scope."""

log = structlog.get_logger()


class RequestContext(Struct):
    """Facts about one request, each set by the layer that finds it out. The edge counts and audits by them.

    `limits` gives the headers of the caller's rate. `release` gives back the caller's slot. `age` is in seconds.
    `refused_key` is the name of the caller whose key is known, but not valid now. Only the audit log shows it.
    `waited_seconds` passed because the caller preferred to wait. `on_begin` is called when the answer begins.
    `identify_again` gives the caller as known now, or raises `Unauthenticated` or `IssuerUnavailable`.
    """

    request_id: str
    address: str | None = None
    caller: Caller | None = None
    limits: Callable[[], Headers] | None = None
    release: Callable[[], None] | None = None
    account_id: AccountId | None = None
    merchants: int | None = None
    status: int | None = None
    age: int | None = None
    problem: str | None = None
    refused_key: str | None = None
    waited_seconds: float = 0
    on_begin: Callable[[], None] | None = None
    identify_again: Callable[[], Awaitable[Caller]] | None = None

    def begin(self, status: int) -> None:
        """Note that the answer begins, with this status."""
        self.status = status
        if self.on_begin is not None:
            self.on_begin()


def context_of(scope: Scope) -> RequestContext:
    """Return the context that the edge gave to a request."""
    context: RequestContext = scope["state"][CONTEXT]
    return context


def render_refusal(error: Exception, scope: HTTPScope) -> Reply:
    """Render an error as a problem, and record which. An unforeseen error is logged, and its text is not shown."""
    if not isinstance(error, TallygateError):
        log.error("request.crashed", exc_info=error)
        error = InternalError("Something went wrong here.")
    context = context_of(scope)
    context.problem = kind_of(error).name
    return render_problem(error, scope["path"], context.request_id)


async def send_reply(reply: Reply, send: Send) -> None:
    """Send a finished reply."""
    await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
    await send(as_body(reply.body))
