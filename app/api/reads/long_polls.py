"""Long polls of reads: a 304 is put off, as long as the caller prefers, until there is a 200 instead."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TypeVar

from msgspec.structs import replace

from app.access.callers import authorise
from app.api.context import RequestContext
from app.api.replies import Reply, as_raw
from app.api.requests.moments import read_wait
from app.api.requests.prefer import applied
from app.balances.snapshots import AccountId
from app.errors import Forbidden, InternalError
from app.watch.long_polls import LongPolls

T = TypeVar("T")


async def wait_for_change(
    polls: LongPolls,
    account_ids: Collection[AccountId] | None,
    prefer: str,
    look: Callable[[], Awaitable[Reply]],
    reply: Reply,
    context: RequestContext,
) -> Reply:
    """Return the reply to a request with `If-None-Match` and `Prefer` once it is no 304, or in time.

    `reply` was given just now by `look`; None for the accounts stands for all. Raises what `look` raises.
    """
    seconds = read_wait(prefer)
    if not seconds:
        return reply
    if _is_known(reply):
        look = with_rights(look, context, account_ids)
        with counted_wait(context):
            reply = await polls.wait(account_ids, seconds, look, reply, _is_known)
    return replace(reply, headers=[*reply.headers, *as_raw([applied(seconds)])])


def with_rights(
    look: Callable[[], Awaitable[T]], context: RequestContext, account_ids: Collection[AccountId] | None
) -> Callable[[], Awaitable[T]]:
    """Let each look first identify the caller again, who must still read these accounts.

    None stands for all that the caller reads: its rights must be the same then. The look raises `Forbidden`,
    `Unauthenticated` or `IssuerUnavailable` otherwise.
    """

    async def look_again() -> T:
        await judge_again(context, account_ids)
        return await look()

    return look_again


async def judge_again(context: RequestContext, account_ids: Collection[AccountId] | None) -> None:
    """Identify the caller again, who must still read these accounts; `with_rights` says what None means, and what is raised."""
    before = context.caller
    if before is None or context.identify_again is None:
        raise InternalError("No guard has admitted this request.")
    caller = await context.identify_again()
    for account_id in account_ids or ():
        authorise(caller, account_id)
    if account_ids is None and (caller.merchants, caller.portfolio) != (before.merchants, before.portfolio):
        raise Forbidden("What you may read has changed.")


@contextmanager
def counted_wait(context: RequestContext) -> Iterator[None]:
    """Count the time of a block as one that the caller preferred to wait."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    yield
    context.waited_seconds = loop.time() - began


def _is_known(reply: Reply) -> bool:
    return reply.status == 304  # noqa: PLR2004
