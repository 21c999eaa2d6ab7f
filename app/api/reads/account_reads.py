"""Account reads: the one procedure that answers a read of one account, in a waiting and in an immediate form.

Both forms take the same steps: identify the caller, find the account, authorise, decide, look up, render. The waiting form
also admits the caller, and raises its refusals in the order of these steps.
"""

from collections.abc import Callable, Sequence
from typing import Final, Self

from litestar.types import HTTPScope
from msgspec import Struct

from app.access.callers import Caller, authorise
from app.accounts import Accounts, Available
from app.api.context import RequestContext
from app.api.reads.admission import Admission
from app.api.reads.resources import Resource, Target, find_resource, find_target
from app.api.rendering.representations import RepresentationCache
from app.api.rendering.responses import ResponsePreferences, render_response
from app.api.replies import Reply
from app.api.requests.cache_control import parse_request_directives
from app.api.requests.credentials import find_credential
from app.api.requests.formats import Format, choose_format
from app.api.requests.headers import find_lines, join_lines
from app.balances.snapshots import Snapshot
from app.cache.freshness import FreshnessPolicy, RequestDirectives
from app.errors import TallygateError


class ReadRequest(Struct, frozen=True, gc=False):
    """What a request says about the account it wants to read, and how it wants the answer."""

    path: str
    query: bytes
    authorization: Sequence[str]
    tokens: Sequence[str]
    accept: str | None
    cache_control: str | None
    preferences: ResponsePreferences

    @classmethod
    def of(cls, scope: HTTPScope) -> Self:
        """Collect it from an ASGI scope."""
        headers = scope["headers"]
        return cls(
            path=scope["path"],
            query=scope["query_string"],
            authorization=find_lines(headers, b"authorization"),
            tokens=find_lines(headers, b"x-bh-token"),
            accept=join_lines(headers, b"accept"),
            cache_control=join_lines(headers, b"cache-control"),
            preferences=ResponsePreferences(
                join_lines(headers, b"if-none-match"), join_lines(headers, b"accept-encoding")
            ),
        )

    @property
    def credential(self) -> str | None:
        """The one key or token of the request. Raises `Unauthenticated` if there are several."""
        return find_credential(self.authorization, self.tokens)


class ImmediateReply(Struct, frozen=True, gc=False):
    """A reply that needed no waiting, and what it depends on."""

    caller: Caller
    snapshot: Snapshot
    reply: Reply


class _Decision(Struct, frozen=True, gc=False):
    """What is shown, of which age, and how."""

    resource: Resource
    directives: RequestDirectives
    format: Format
    preferences: ResponsePreferences


class AccountReads:
    """Answer reads of one account. `unix_ms` gives Unix time in milliseconds."""

    def __init__(
        self,
        *,
        admission: Admission,
        accounts: Accounts,
        representations: RepresentationCache,
        policy: FreshnessPolicy,
        unix_ms: Callable[[], int],
    ) -> None:
        self._admission: Final = admission
        self._accounts: Final = accounts
        self._representations: Final = representations
        self._policy: Final = policy
        self._unix_ms: Final = unix_ms

    async def respond(self, request: ReadRequest, context: RequestContext) -> Reply:
        """Wait for the reply. Raises the `TallygateError` that is the answer instead. May be cancelled."""
        caller = await self._admission.admit(request.credential, context)
        target = find_target(request.path, request.query)
        context.account_id = target.account_id
        decision = self._decide(caller, target, request, self._unix_ms())
        found = await self._accounts.get(target.account_id, decision.directives, caller.name)
        return self._render(decision, found, self._unix_ms())

    def respond_now(self, request: ReadRequest, now: int) -> ImmediateReply | None:
        """Return the same reply at `now` (Unix milliseconds) if it is JSON and needs no waiting, else None.

        A refusal is None too: `respond` raises it. Nothing is counted against the caller's rate here.
        """
        try:
            caller = self._admission.find_known(request.credential)
            if caller is None:
                return None
            target = find_target(request.path, request.query)
            decision = self._decide(caller, target, request, now)
            is_json = decision.format is Format.JSON
            found = self._accounts.get_now(target.account_id, decision.directives) if is_json else None
            if found is None:
                return None
            return ImmediateReply(caller, found.snapshot, self._render(decision, found, now))
        except TallygateError:
            return None

    def _decide(self, caller: Caller, target: Target, request: ReadRequest, now: int) -> _Decision:
        """Settle all that needs no look at balances, the right to read them first."""
        authorise(caller, target.account_id)
        return _Decision(
            find_resource(request.path, request.query),
            parse_request_directives(request.cache_control or "", now, self._policy.fresh_ms),
            target.named_format or choose_format(request.accept),
            request.preferences,
        )

    def _render(self, decision: _Decision, found: Available, now: int) -> Reply:
        resource = decision.resource
        if decision.format is Format.JSON:
            representation = self._representations.get(resource.name, found.snapshot, resource.render)
        else:
            representation = resource.render_table(found, decision.format)
        return render_response(representation, found.served, self._policy, now, decision.preferences)
