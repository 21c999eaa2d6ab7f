"""`tallygate history export`: all that is kept of the past between two moments, as lines of JSON."""

import asyncio
import os
from collections import Counter
from logging import CRITICAL
from typing import Any, Final, Literal, assert_never

import msgspec
import structlog

from app.api.requests.moments import read_moment
from app.api.views.accounts import format_time
from app.api.views.history import holds_of
from app.balances.snapshots import AGGREGATE, AccountId
from app.cli.key import read_merchants
from app.cli.standard_streams import flush_output, print_error, write_output
from app.clock import unix_ms
from app.errors import InvalidRequest, StartError, StoreUnavailable
from app.history.export import Exported, KeptAccount, KeptState, LostStates, export_account
from app.history.past import PastState
from app.settings.environment import read_store
from app.wiring.export import Archive, open_archive

_BROKEN_PIPE: Final = 141
"""The exit status of a program that SIGPIPE ended."""


class Wanted(msgspec.Struct, frozen=True):
    """What to export: from when until before when (Unix ms), and of which accounts."""

    since: int
    until: int
    merchants: frozenset[AccountId] | Literal["all"]
    portfolio: bool

    def has(self, account_id: AccountId) -> bool:
        """Check that an account is wanted."""
        if account_id == AGGREGATE:
            return self.portfolio
        return self.merchants == "all" or account_id in self.merchants


def export(since: str, until: str | None, merchants: str, *, portfolio: bool) -> int:
    """Write the export to standard output. Return 0, 1 if something was lost meanwhile, or 141 if nobody reads on.

    Raises `StartError` if an argument or a setting is wrong, or there is no history.
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(CRITICAL))
    wanted = _read_wanted(since, until, merchants, portfolio=portfolio)
    try:
        return asyncio.run(_export(wanted))
    except BrokenPipeError:
        return _BROKEN_PIPE


async def _export(wanted: Wanted) -> int:
    counts: Counter[str] = Counter()
    async with open_archive(read_store(os.environ)) as archive:
        _write("begin", {"from": format_time(wanted.since), "until": format_time(wanted.until)})
        try:
            for account_id in filter(wanted.has, archive.accounts):
                await _export_account(archive, account_id, wanted, counts)
        except StoreUnavailable:
            flush_output()
            print_error("tallygate: Redis was lost, so the export lacks its end.")
            return 1
    _write("end", {"accounts": counts["account"], "states": counts["state"], "gaps": counts["gap"]})
    flush_output()
    return 1 if counts["gap"] else 0


async def _export_account(archive: Archive, account_id: AccountId, wanted: Wanted, counts: Counter[str]) -> None:
    async for one in export_account(archive.past, account_id, wanted.since, wanted.until):
        kind, fields = _show(one)
        counts[kind] += 1
        _write(kind, fields)


def _write(kind: str, fields: dict[str, Any]) -> None:
    write_output(msgspec.json.encode({"kind": kind, **fields}) + b"\n")


def _show(one: Exported) -> tuple[str, dict[str, Any]]:
    of = {"merchantId": int(one.account_id), "epoch": one.epoch}
    match one:
        case KeptAccount():
            return "account", {**of, "keptFrom": format_time(one.kept_from)}
        case KeptState():
            return "state", {**of, **_show_state(one)}
        case LostStates():
            return "gap", {**of, "after": one.after}
        case _:
            assert_never(one)


def _show_state(one: KeptState) -> dict[str, Any]:
    """Show a state by the names that `?at=` has."""
    state = one.state
    fields: dict[str, Any] = {
        "sequence": state.sequence,
        "holds": holds_of(PastState(one.epoch, state, one.looks, one.changed_by, is_seen=False)),
        "looks": one.looks.looks,
        "longestGapSeconds": one.looks.gap_ms / 1000,
    }
    if state.before is None:
        fields["first"] = True
    if state.content is None:
        return {**fields, "absent": True}
    shown = msgspec.to_builtins(state.content)
    if not state.content.anomalies:
        del shown["anomalies"]
    return {**fields, **shown}


def _read_wanted(since: str, until: str | None, merchants: str, *, portfolio: bool) -> Wanted:
    now = unix_ms()
    try:
        first, last = read_moment("--from", since), read_moment("--until", until)
    except InvalidRequest as error:
        raise StartError(error.detail) from None
    last = now if last is None else last
    if first is None or last < first:
        raise StartError("--until is before --from.")
    listed = read_merchants(merchants)
    return Wanted(first, last, "all" if listed == "all" else frozenset(map(_name, listed)), portfolio)


def _name(merchant: int) -> AccountId:
    return AccountId(str(merchant))
