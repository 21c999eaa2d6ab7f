"""Events of streams: their data, and how each format writes them."""

from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from app.accounts import AccountResult, Available
from app.api.requests.formats import StreamFormat
from app.api.views.accounts import RowFilter, Time, format_time
from app.api.views.parts import Coverage, PartView, as_of_range
from app.balances.snapshots import AGGREGATE

HEARTBEAT_SECONDS: Final = 10

EndReason = Literal["draining", "rights", "expired", "lifetime", "slow", "problem"]


class Within(Struct, frozen=True):
    """The age in seconds that a reader wants, and the one that the budget allows."""

    wanted: int
    expected: int


class Hello(Struct, frozen=True, rename="camel"):
    """The first event. `resumed` says what follows: all parts (`new`, `reset`), or those that changed (`complete`)."""

    resumed: Literal["new", "complete", "reset"]
    within: Within
    merchants: Annotated[int, Meta(ge=0)]
    heartbeat_seconds: int
    ends_at: Time


class Synced(Struct, frozen=True):
    """The event after which everything there is was shown once."""

    coverage: Coverage


class Heartbeat(Struct, frozen=True, rename="camel", omit_defaults=True):
    """The event that comes when nothing else does: how old the parts are."""

    now: Time
    coverage: Coverage
    oldest_as_of: Time | UnsetType = UNSET
    newest_as_of: Time | UnsetType = UNSET

    @classmethod
    def of(cls, results: Sequence[AccountResult], now: int) -> "Heartbeat":
        """Describe parts at `now` (Unix milliseconds)."""
        return cls(format_time(now), Coverage.of(results), *as_of_range(results))


class End(Struct, frozen=True, rename="camel"):
    """The last event. A new stream may be opened after so many seconds."""

    reason: EndReason
    retry_after: int


class StreamPart(PartView, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A part as in a batch, the number of its content in its history, and how many newer ones it stands for."""

    sequence: Annotated[int, Meta(ge=0)] | UnsetType = UNSET
    skipped: Annotated[int, Meta(ge=1, description="Events that this newer one replaced.")] | UnsetType = UNSET


_SKIPPED: Final = b',"skipped":%d}'
_COLUMNS: Final = ("%-19s", "%-11s", "%-24s", "%-12s", "%24s", "%24s", "%24s")
_HEADINGS: Final = ("merchant", "status", "as of", "asset", "total", "free", "locked")


def encode_part(result: AccountResult, keeps: RowFilter | None) -> bytes:
    """Encode a part as JSON."""
    part = PartView.of(result, keeps)
    sequence = result.snapshot.sequence if isinstance(result, Available) else UNSET
    return msgspec.json.encode(StreamPart(**msgspec.structs.asdict(part), sequence=sequence))


def encode_rows(result: AccountResult, keeps: RowFilter | None) -> bytes:
    """Encode a part as lines of a table, one for each row."""
    part = PartView.of(result, keeps)
    merchant = "all" if part.merchant_id == int(AGGREGATE) else str(part.merchant_id)
    as_of = "" if part.as_of is UNSET else part.as_of
    rows: list[tuple[str, ...]] = [
        (merchant, part.status, as_of, _printable(row.asset_id), row.total, row.free, row.locked)
        for row in part.balances or ()
    ]
    if not rows:
        rows = [(merchant, part.status, as_of, "" if part.problem is UNSET else part.problem.title, "", "", "")]
    return "".join(map(_write_row, rows)).encode()


def head(stream_format: StreamFormat, retry_ms: int) -> bytes:
    """Return what comes before the first event: for browsers, after how long to ask again."""
    match stream_format:
        case StreamFormat.EVENTS:
            return b"retry: %d\n" % retry_ms
        case StreamFormat.JSONL:
            return b""
        case StreamFormat.TEXT:
            return _write_row(_HEADINGS).encode()


def write_event(
    stream_format: StreamFormat, name: str, data: bytes, cursor: str | None = None, skipped: int = 0
) -> bytes:
    """Write an event whose data are encoded, with the number of those that it replaces."""
    if stream_format is StreamFormat.TEXT:
        return data if name == "balances" else b"# %b %b\n" % (name.encode(), data)
    if skipped:
        data = data[:-1] + _SKIPPED % skipped
    if stream_format is StreamFormat.JSONL:
        identified = b"" if cursor is None else b'"id":"%b",' % cursor.encode()
        return b'{"event":"%b",%b"data":%b}\n' % (name.encode(), identified, data)
    identified = b"" if cursor is None else b"id: %b\n" % cursor.encode()
    return b"event: %b\n%bdata: %b\n\n" % (name.encode(), identified, data)


def _write_row(cells: Sequence[str]) -> str:
    return " ".join(column % cell for column, cell in zip(_COLUMNS, cells, strict=True)).rstrip() + "\n"


def _printable(text: str) -> str:
    """Write a name so that it can act as nothing but text on a terminal."""
    return "".join(one if one.isprintable() else "?" for one in text)
