"""Account reads: the one procedure that answers a read of one account, in a waiting and in an immediate form.

Both forms take the same steps: identify the caller, find the account, authorise, decide, look up, render. The waiting form
also admits the caller, and raises its refusals in the order of these steps. Where the immediate form finds nothing in
memory, the waiting form goes on from what it decided.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, Self, cast

from litestar.types import HTTPScope
from msgspec import Struct

from app.access.callers import Caller, authorise
from app.accounts import Accounts, Available
from app.api.context import RequestContext
from app.api.reads.admission import Admission
from app.api.reads.long_polls import wait_for_change
from app.api.reads.past_reads import PastReads
from app.api.reads.resources import Resource, Target, find_target
from app.api.rendering.representations import RepresentationCache
from app.api.rendering.responses import render_response, render_table
from app.api.replies import Reply
from app.api.requests.cache_control import parse_request_directives
from app.api.requests.formats import Format, choose_format
from app.api.requests.headers import find_credential
from app.balances.snapshots import AccountId
from app.cache.freshness import FreshnessPolicy, RequestDirectives
from app.errors import InvalidRequest, TallygateError
from app.watch.long_polls import LongPolls

_LISTS: Final = (b"accept", b"if-none-match", b"accept-encoding", b"cache-control", b"prefer")
_READ: Final = frozenset({*_LISTS, b"authorization", b"x-bh-token"})
_KNOWN_READ: Final = "tallygate.known_read"


class ReadRequest(Struct, frozen=True, gc=False):
    """What a request says about the account it wants to read, and how it wants the answer."""

    path: str
    query: bytes
    authorization: Sequence[str]
    tokens: Sequence[str]
    accept: str | None
    if_none_match: str | None
    accept_encoding: str | None
    cache_control: str | None = None
    prefer: str | None = None

    @classmethod
    def of(cls, scope: HTTPScope) -> Self:
        """Collect it from an ASGI scope."""
        lines: dict[bytes, list[str]] = {}
        for name, value in scope["headers"]:
            if name in _READ:
                lines.setdefault(name, []).append(value.decode("latin-1"))
        return cls(
            scope["path"],
            scope["query_string"],
            lines.get(b"authorization", ()),
            lines.get(b"x-bh-token", ()),
            *(",".join(lines[name]) if name in lines else None for name in _LISTS),  # RFC 9110, 5.3
        )


class KnownRead(Struct, frozen=True, gc=False):
    """What a read of JSON without directives asks for, by a caller that may read it. It stays so until callers change."""

    caller: Caller
    account_id: AccountId
    resource: Resource
    request: ReadRequest


def pass_on(scope: HTTPScope, read: KnownRead | None) -> None:
    """Pass on what was decided about a request, if anything was, with its ASGI scope."""
    cast("dict[str, Any]", scope)[_KNOWN_READ] = read


def passed_on(scope: HTTPScope) -> KnownRead | None:
    """Return what was passed on about a request."""
    read: KnownRead | None = cast("dict[str, Any]", scope).get(_KNOWN_READ)
    return read


def was_judged(scope: HTTPScope) -> bool:
    """Tell whether a request was passed on."""
    return _KNOWN_READ in scope


class AccountReads:
    """Answer reads of one account. `unix_ms` gives Unix time in milliseconds. Without `long_polls`, no read waits."""

    def __init__(
        self,
        admission: Admission,
        accounts: Accounts,
        representations: RepresentationCache,
        policy: FreshnessPolicy,
        unix_ms: Callable[[], int],
        long_polls: LongPolls | None = None,
    ) -> None:
        self._admission: Final = admission
        self._accounts: Final = accounts
        self._representations: Final = representations
        self._policy: Final = policy
        self._unix_ms: Final = unix_ms
        self._long_polls: Final = long_polls
        self._past: Final = PastReads(accounts.histories.past, unix_ms)

    async def respond(self, request: ReadRequest, context: RequestContext) -> Reply:
        """Wait for the reply. Raises the `TallygateError` that is the answer instead. May be cancelled."""
        caller = await self._admission.admit(find_credential(request.authorization, request.tokens), context)
        target = find_target(request.path, request.query)
        context.account_id = target.account_id
        resource, directives, output_format = self._decide(request, caller, target, self._unix_ms())
        if target.at is not None:
            if not directives.are_default:
                raise InvalidRequest("at goes with no directives of Cache-Control.")
            keep, known = resource.keeps, request.if_none_match
            return await self._past.respond(target.account_id, target.at, keep, known, output_format)

        async def look() -> Reply:
            found = await self._accounts.get(target.account_id, directives, caller.name)
            return self._render(request, resource, output_format, found, self._unix_ms())

        reply = await look()
        if request.prefer is None or request.if_none_match is None or self._long_polls is None:
            return reply
        return await wait_for_change(self._long_polls, [target.account_id], request.prefer, look, reply, context)

    async def respond_known(self, read: KnownRead, context: RequestContext) -> Reply:
        """Wait for the reply of `respond` to a request that was found out about just now. Raises as `respond` does."""
        self._admission.admit_known(read.caller, context)
        context.account_id = read.account_id
        directives = RequestDirectives(self._unix_ms())
        found = await self._accounts.get(read.account_id, directives, read.caller.name)
        return self._render(read.request, read.resource, Format.JSON, found, self._unix_ms())

    def find_known(self, request: ReadRequest, now: int) -> KnownRead | None:
        """Find what a request asks for at `now` (Unix milliseconds), if `respond_now` may answer it.

        A refusal is None too: `respond` raises it. Nothing is counted against the caller's rate here.
        """
        try:
            caller = self._admission.find_known(find_credential(request.authorization, request.tokens))
            if caller is None:
                return None
            target = find_target(request.path, request.query)
            resource, directives, output_format = self._decide(request, caller, target, now)
        except TallygateError:
            return None
        is_plain = output_format is Format.JSON and target.at is None and directives == RequestDirectives(now)
        return KnownRead(caller, target.account_id, resource, request) if is_plain else None

    def respond_now(self, read: KnownRead, found: Available, now: int) -> Reply | None:
        """Return the reply of `respond` at `now` (Unix milliseconds) with what was found, None if it is a refusal."""
        try:
            return self._render(read.request, read.resource, Format.JSON, found, now)
        except TallygateError:
            return None

    def _decide(
        self, request: ReadRequest, caller: Caller, target: Target, now: int
    ) -> tuple[Resource, RequestDirectives, Format]:
        """Authorise, then decide what is shown, how old it may be, and in which format."""
        authorise(caller, target.account_id)
        if isinstance(target.resource, str):
            raise InvalidRequest(target.resource)
        directives = parse_request_directives(request.cache_control or "", now, self._policy.fresh_ms)
        return target.resource, directives, target.named_format or choose_format(request.accept)

    def _render(
        self, request: ReadRequest, resource: Resource, output_format: Format, found: Available, now: int
    ) -> Reply:
        if output_format is Format.JSON:
            representation = self._representations.get(resource.name, found.snapshot, resource.render)
        else:
            resource.view(found.snapshot)  # raises `UnknownAsset` where JSON does
            representation = render_table(found, resource.keeps, output_format)
        return render_response(
            representation, found.served, self._policy, now, request.if_none_match, request.accept_encoding
        )
