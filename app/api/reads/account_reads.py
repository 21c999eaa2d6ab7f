"""The short way: reads that have to wait, of pages that were made before, past the framework. It decides nothing by itself.

It asks the same functions as the handlers behind it. Whatever it cannot answer for sure it hands on to them before it has
counted or touched anything; so they are the ones to refuse, but for what comes of waiting.
"""

from collections.abc import Callable
from typing import Final

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send
from msgspec import Struct

from app.access.callers import Caller, Callers, authorise
from app.accounts import Accounts, Question
from app.api.context import render_refusal, send_reply
from app.api.reads.admission import Admission
from app.api.reads.hot_path import read_target
from app.api.rendering.representations import Name, Renderer, RepresentationCache
from app.api.rendering.responses import ResponsePreferences, render_response
from app.api.replies import Reply
from app.api.requests.cache_control import parse_request_directives
from app.api.requests.credentials import find_credential
from app.api.requests.formats import Format, choose_format
from app.api.requests.headers import find_lines, join_lines
from app.balances.snapshots import AccountId
from app.cache.freshness import FreshnessPolicy
from app.errors import TallygateError

_GET: Final = "GET"
_HTTP: Final = ScopeType.HTTP  # found here at once: an enum looks its members up each time


class _Asked(Struct, frozen=True):
    """What a request asks for, on which terms, and in what form."""

    template: str
    key: AccountId
    name: Name
    render: Renderer
    caller: Caller
    question: Question
    preferences: ResponsePreferences


class ShortWay:
    """Stand before an application and answer for it. `blame` says any error as one of ours; `now_ms` is Unix milliseconds."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        callers: Callers,
        admission: Admission,
        accounts: Accounts,
        representations: RepresentationCache,
        policy: FreshnessPolicy,
        blame: Callable[[Exception], TallygateError],
        now_ms: Callable[[], int],
    ) -> None:
        self._app: Final = app
        self._callers: Final = callers
        self._admission: Final = admission
        self._accounts: Final = accounts
        self._representations: Final = representations
        self._policy: Final = policy
        self._blame: Final = blame
        self._now_ms: Final = now_ms

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Speak ASGI."""
        if scope["type"] != _HTTP or (asked := self._read(scope)) is None:
            await self._app(scope, receive, send)
            return
        try:
            reply = await self._answer(asked, scope)
        except Exception as error:  # noqa: BLE001  # whatever it was: it is answered, as the framework would
            reply = render_refusal(self._blame(error), scope)
        await send_reply(reply, send)

    def _read(self, scope: HTTPScope) -> _Asked | None:
        """Read a request for a page whose like was sent before; None of any other, or if its caller may not have it."""
        name = scope["raw_path"].decode("latin-1"), scope["query_string"].decode("latin-1")
        target = read_target(*name) if scope["method"] == _GET else None
        if target is None or (render := self._representations.recipe(name)) is None:
            return None
        template, key = target
        headers = scope["headers"]
        if choose_format(join_lines(headers, b"accept")) is not Format.JSON:
            return None
        try:
            caller = self._callers.find_known(
                find_credential(find_lines(headers, b"authorization"), find_lines(headers, b"x-bh-token"))
            )
            if caller is None:
                return None
            authorise(caller, key)
            directives = parse_request_directives(
                join_lines(headers, b"cache-control") or "", self._now_ms(), self._policy.fresh_ms
            )
        except TallygateError:
            return None
        preferences = ResponsePreferences(
            join_lines(headers, b"if-none-match"), join_lines(headers, b"accept-encoding")
        )
        return _Asked(template, key, name, render, caller, Question(caller.name, directives), preferences)

    async def _answer(self, asked: _Asked, scope: HTTPScope) -> Reply:
        """Wait for what was asked for. Raises what that raises, or `TooFast`."""
        scope["path_template"] = asked.template
        self._admission.admit(asked.caller, scope)
        scope["state"]["merchant"] = asked.key
        told = await self._accounts.get(asked.key, asked.question)
        representation = self._representations.render(asked.name, told.snapshot, asked.render)
        return render_response(representation, told.served, self._policy, self._now_ms(), asked.preferences)
