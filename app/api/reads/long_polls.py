"""Long polls of reads: a 304 is put off, as long as the caller prefers, until there is a 200 instead."""

import time
from collections.abc import Awaitable, Callable, Collection

from msgspec.structs import replace

from app.api.context import RequestContext
from app.api.replies import Reply
from app.api.requests.moments import read_wait
from app.api.requests.prefer import applied
from app.balances.snapshots import AccountId
from app.watch.long_polls import LongPolls


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
        began = time.monotonic()
        reply = await polls.wait(account_ids, seconds, look, reply, _is_known)
        context.waited_seconds = time.monotonic() - began
    return replace(reply, headers=[*reply.headers, applied(seconds)])


def _is_known(reply: Reply) -> bool:
    return reply.status == 304  # noqa: PLR2004
