"""Framework bypass: account reads are answered before Litestar, which takes a sixth of the CPU of a cold read."""

from typing import Final

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from app.api.context import context_of, render_refusal, send_reply
from app.api.reads.account_reads import AccountReads, ReadRequest, passed_on
from app.api.reads.resources import find_route

_HTTP: Final = ScopeType.HTTP  # bound here, since an enum looks its members up each time


def bypass_framework(app: ASGIApp, reads: AccountReads) -> ASGIApp:
    """Answer account reads by `reads`, errors included, and pass every other request on to `app`."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != _HTTP or scope["method"] != "GET":
            await app(scope, receive, send)
            return
        known = passed_on(scope)
        route = find_route(scope["path"]) if known is None else known.resource.route
        if route is None:
            await app(scope, receive, send)
            return
        scope["path_template"] = route
        context = context_of(scope)
        try:
            if known is None:
                reply = await reads.respond(ReadRequest.of(scope), context)
            else:
                reply = await reads.respond_known(known, context)
        except Exception as error:  # noqa: BLE001  # every error gets an answer, as it does from the framework
            reply = render_refusal(error, scope)
        await send_reply(reply, send)

    return answer
