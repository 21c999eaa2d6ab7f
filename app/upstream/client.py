"""Upstream client: fetches balances and the merchant directory."""

from collections.abc import Mapping
from functools import partial
from typing import Final, Protocol

import structlog
from msgspec import UnsetType, to_builtins

from app.balances.merchants import Directory, Merchant
from app.balances.normalisation import normalise, normalise_plain, unknown_fields
from app.balances.snapshots import AGGREGATE, Absence, AccountId, Entry, Snapshot
from app.errors import BreakerOpen, MalformedAnswer, TallygateError, UnknownMerchant, Unreachable
from app.runtime import Runtime
from app.telemetry.families import OTHER
from app.upstream import directory
from app.upstream.calls import AcquirePermit, CallExecutor
from app.upstream.envelope import UpstreamResponse, parse_envelope, read_plain

BALANCES_PATH: Final = "/v2/assets/account/assets"

_DIRECTORY_LOOKS: Final = 3
_MAX_PAGES: Final = 200
"""Pages of a directory: 200,000 merchants. One that goes on would take the budget of the fleet without end."""

_LOGGED: Final = 20
"""How many anomalies, or names of fields, one log line has at most."""

_MAX_UNKNOWN_FIELDS: Final = 1000
_MAX_LABEL: Final = 64

log = structlog.get_logger()


class Wire(Protocol):
    """The transport of a client."""

    async def get(self, path: str, params: Mapping[str, str], /) -> UpstreamResponse:
        """Send one request and read its answer whole."""


class UpstreamClient:
    """Call the upstream and check its answers."""

    def __init__(self, wire: Wire, calls: CallExecutor, runtime: Runtime) -> None:
        self._metrics: Final = runtime.metrics
        self._wire: Final = wire
        self._calls: Final = calls
        self._now_ms: Final = runtime.unix_ms
        self._monotonic: Final = runtime.monotonic
        self._unknown_fields: frozenset[str] = frozenset()

    async def fetch_balances(self, key: AccountId, turn: AcquirePermit) -> Entry:
        """Fetch the balances of a merchant, or the aggregate. May be repeated; on cancelling see `CallExecutor.execute`.

        Raises the `UpstreamError` that prevented it, after one log line (but none for an open breaker, which was logged
        when it opened).
        """
        began = self._monotonic()
        try:
            return await self._calls.execute(partial(self._ask, key), turn)
        except TallygateError as error:
            self._report_failure(error, began, merchant=key)
            raise

    async def fetch_directory(self, turn: AcquirePermit) -> Directory:
        """Fetch all merchants, page by page. Raises the `UpstreamError` that prevented it, after one log line.

        Changes meanwhile can move merchants over the edge of a page, so an incomplete list is fetched again.
        """
        began = self._monotonic()
        try:
            found = await self._read_directory(turn)
        except TallygateError as error:
            self._report_failure(error, began, about="directory")
            raise
        return Directory(self._now_ms(), tuple(found[one] for one in sorted(found)))

    async def _read_directory(self, turn: AcquirePermit) -> Mapping[int, Merchant]:
        for _ in range(_DIRECTORY_LOOKS):
            found, total, repeated = await self._read_pages(turn)
            if len(found) != total:
                log.warning("directory.total_wrong", listed=len(found), total=total, repeated=repeated[:_LOGGED])
            if len(found) >= total:
                return found
        raise MalformedAnswer("The upstream's directory lists fewer merchants than it says there are.")

    async def _read_pages(self, turn: AcquirePermit) -> tuple[Mapping[int, Merchant], int, list[int]]:
        """Read pages up to the last one: one that is not full and completes the total, or one that brings nothing new.

        Returns the merchants by id, how many the upstream says there are, and the ids that came more than once. A last
        page that brings nothing new to a whole list repeats nothing.
        """
        found: dict[int, Merchant] = {}
        repeated: list[int] = []
        for page in range(1, _MAX_PAGES + 1):
            merchants, total, is_full = await self._calls.execute(partial(self._ask_directory, page), turn)
            known = len(found)
            again: list[int] = []
            for merchant in merchants:
                if merchant.id in found:
                    again.append(merchant.id)
                found[merchant.id] = merchant
            is_nothing_new = len(found) == known
            if not is_nothing_new or known < total:
                repeated += again
            if is_nothing_new or (len(found) == total and not is_full):
                return found, total, repeated
        raise MalformedAnswer(f"The upstream's directory does not end within {_MAX_PAGES} pages.")

    async def _ask_directory(self, page: int) -> tuple[list[Merchant], int, bool]:
        answer = await self._wire.get(directory.PATH, directory.ask_for(page))
        try:
            return directory.read_page(parse_envelope(answer, self._now_ms() / 1000))
        except UnknownMerchant:
            raise MalformedAnswer("The upstream says that its directory is no merchant.") from None
        except ValueError as error:
            raise MalformedAnswer(f"Page {page} of the upstream's directory is not as documented: {error}.") from None

    async def _ask(self, key: AccountId) -> Entry:
        answer = await self._wire.get(BALANCES_PATH, {"merchantId": key})
        now_ms = self._now_ms()
        plain = read_plain(answer)
        if plain is None:
            return self._read(key, answer, now_ms)
        try:
            snapshot = normalise_plain(key, plain, now_ms)
        except ValueError as error:
            raise _malformed(error) from None
        if snapshot.anomalies:
            self._report_anomalies(snapshot)
        return snapshot

    def _read(self, key: AccountId, answer: UpstreamResponse, now_ms: int) -> Entry:
        """Read an answer that is not plain: an error, or one with something undocumented."""
        try:
            data = parse_envelope(answer, now_ms / 1000)
        except UnknownMerchant:
            if key == AGGREGATE:
                raise MalformedAnswer("The upstream says that there is no aggregate.") from None
            return Absence(key, now_ms)
        try:
            snapshot = normalise(key, data, now_ms)
        except ValueError as error:
            raise _malformed(error) from None
        if snapshot.anomalies:
            self._report_anomalies(snapshot)
        self._report_unknown_fields(snapshot, data)
        return snapshot

    def _report_failure(self, error: TallygateError, began: float, **asked: str) -> None:
        """Log why a call failed, except for an open breaker, which was logged when it opened."""
        if isinstance(error, BreakerOpen):
            return
        log.warning(
            "upstream.failed",
            **asked,
            error=type(error).__name__,
            detail=error.detail,
            code=error.code,
            **({"reason": error.reason} if isinstance(error, Unreachable) and error.reason else {}),
            seconds=round(self._monotonic() - began, 3),
        )

    def _report_anomalies(self, snapshot: Snapshot) -> None:
        for anomaly in snapshot.anomalies:
            self._metrics.anomalies.add(anomaly.kind.value, _label(anomaly.asset_id))
        log.warning(
            "upstream.anomalies",
            merchant=snapshot.account_id,
            count=len(snapshot.anomalies),
            anomalies=to_builtins(snapshot.anomalies[:_LOGGED]),
        )

    def _report_unknown_fields(self, snapshot: Snapshot, data: object) -> None:
        """Log the name of each unknown field once."""
        if len(self._unknown_fields) < _MAX_UNKNOWN_FIELDS and (new := unknown_fields(data) - self._unknown_fields):
            self._unknown_fields |= new
            self._metrics.unknown_fields.add(amount=len(new))
            names = sorted(new)[:_LOGGED]
            log.warning(
                "upstream.unknown_fields",
                merchant=snapshot.account_id,
                fields=[ascii(one)[1:-1][:_MAX_LABEL] for one in names],
            )


def _malformed(error: ValueError) -> MalformedAnswer:
    return MalformedAnswer(f"The upstream's balances are not as documented: {error}.")


def _label(asset_id: str | UnsetType) -> str:
    """Return an asset's label in metrics. Ids that are missing, long or not printable share one."""
    if isinstance(asset_id, UnsetType) or len(asset_id) > _MAX_LABEL or not asset_id.isprintable():
        return OTHER
    return asset_id
