"""Past reads: the balances of an account at a moment, `?at=`. Rights and parameters were settled before."""

from collections.abc import Callable
from typing import Final

import msgspec

from app.api.rendering.conditional import etag_of_bytes, etag_of_format, matches
from app.api.rendering.responses import VARY
from app.api.rendering.view_tables import write
from app.api.replies import Reply
from app.api.requests.formats import MEDIA_TYPES, Format
from app.api.views.accounts import RowFilter
from app.api.views.history import PastView
from app.balances.snapshots import AccountId
from app.errors import InvalidRequest, UnknownMerchant
from app.history.past import Past, no_history

_FIXED: Final = "private, max-age=86400, immutable"


class PastReads:
    """Answer how an account was. Without `past`, no history is kept. `unix_ms` gives Unix time in milliseconds."""

    def __init__(self, past: Past | None, unix_ms: Callable[[], int]) -> None:
        self._past: Final = past
        self._unix_ms: Final = unix_ms

    async def respond(
        self, account_id: AccountId, at: int, keep: RowFilter | None, if_none_match: str | None, output_format: Format
    ) -> Reply:
        """Respond with the balances at a moment (Unix ms), or 304. Raises what `Past.at` raises, or `InvalidRequest`."""
        if at > self._unix_ms():
            raise InvalidRequest("at wants a time that has been.")
        if self._past is None:
            raise no_history()
        found = await self._past.at(account_id, at)
        if found.state.content is None:
            raise UnknownMerchant("The upstream knew no such merchant then.")
        snapshot = found.state.content.as_of(account_id, found.state.since)
        view = PastView.of(snapshot, found, at, keep)
        etag = etag_of_format(etag_of_bytes(msgspec.json.encode(view)), output_format)
        control = "private, no-cache" if found.changed_by is None else _FIXED
        headers = [("ETag", etag), ("Cache-Control", control), ("Vary", VARY)]
        if matches(if_none_match, etag):
            return Reply.of(304, headers, b"")
        headers.append(("Content-Type", MEDIA_TYPES[output_format]))
        return Reply.of(200, headers, write(view, output_format))
