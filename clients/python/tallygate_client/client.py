"""The synchronous client, made from `async_client.py` by `make python-client`. Threads may share it."""

import random
import time
from collections.abc import Callable, Iterator
from typing import Final, Self, TypeVar

import httpx

from tallygate_client import calls, models
from tallygate_client.answers import Answer
from tallygate_client.calls import RECONCILIATION, Call, query
from tallygate_client.event_stream import EventParser
from tallygate_client.live import SILENCE_SECONDS, FeedEvent, Following, WatchEvent, Watching, watch_options
from tallygate_client.problems import TallygateError, make_error
from tallygate_client.sending import Pause, Reply, Send, Sending, TagCache

T = TypeVar("T")

Credential = str | Callable[[], str]
"""A key or token, or what gives it for each request."""

_FIRST_ERROR: Final = 400


class Client:
    """A client of one gateway. Close it, or use it as a context manager.

    A call takes at most `deadline_seconds` with its repetitions, as far as one wait of the network allows: `Retry-After`
    is obeyed, and failures of the network are repeated. It raises the errors of `tallygate_client.problems`.
    `http` is a client of httpx that stays yours: you close it.
    """

    def __init__(
        self,
        url: str,
        credential: Credential | None = None,
        *,
        deadline_seconds: float = 30,
        http: httpx.Client | None = None,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._url: Final = url.rstrip("/")
        self._credential: Final = credential
        self._owns_http: Final = http is None
        self._http: Final = httpx.Client() if http is None else http
        self._sleep: Final = sleep
        self._draw: Final = draw
        self._sending: Final = Sending(deadline_seconds, TagCache(), monotonic, draw)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        if self._owns_http:
            self._http.close()

    def get_me(self) -> models.Me:
        """Read who you are, what you may read, how fast, and until when."""
        return self._call(calls.plain("/v1/me", models.Me))

    def report_moves(self, merchant_ids: list[int]) -> models.Moved:
        """Report that money was moved: what is older than now is fetched before it is served."""
        return self._call(calls.plain("/v1/moved", models.Moved, **calls.merchants_body(merchant_ids)))

    def get_merchant_balances(
        self,
        merchant_id: int,
        *,
        assets: list[str] | None = None,
        max_age: int | None = None,
        max_stale: int | None = None,
    ) -> Answer[models.Account]:
        """Read a merchant's balances. Ages are in seconds."""
        return self._account(f"{calls.merchant_path(merchant_id)}/balances", assets, max_age, max_stale)

    def get_portfolio(
        self, *, assets: list[str] | None = None, max_age: int | None = None, max_stale: int | None = None
    ) -> Answer[models.Account]:
        """Read the upstream's own sum over all merchants."""
        return self._account("/v1/portfolio", assets, max_age, max_stale)

    def get_asset_balance(
        self, merchant_id: int, asset_id: str, *, max_age: int | None = None, max_stale: int | None = None
    ) -> Answer[models.AssetBalance]:
        """Read one asset of a merchant."""
        path = f"{calls.merchant_path(merchant_id)}/balances/{calls.segment(asset_id)}"
        return self._call(calls.account(path, models.AssetBalance, headers=calls.directives(max_age, max_stale)))

    def get_balances(
        self,
        merchant_ids: list[int],
        *,
        assets: list[str] | None = None,
        require_complete: bool = False,
        max_age: int | None = None,
        max_stale: int | None = None,
    ) -> Answer[models.Batch]:
        """Read up to 1,000 merchants. With `require_complete`, a failed part raises `UnavailableError` instead."""
        params = _batch_params(assets, require_complete=require_complete)
        params |= {"merchantId": calls.list_merchants(merchant_ids)}
        headers = calls.directives(max_age, max_stale)
        return self._call(calls.listing("/v1/balances", models.Batch, params=params, headers=headers))

    def query_balances(
        self,
        merchant_ids: list[int],
        *,
        assets: list[str] | None = None,
        require_complete: bool = False,
        max_age: int | None = None,
        max_stale: int | None = None,
    ) -> Answer[models.Batch]:
        """Read up to 1,000 merchants, for lists too long for a URL."""
        return self._call(
            calls.listing(
                "/v1/balances",
                models.Batch,
                method="POST",
                params=_batch_params(assets, require_complete=require_complete),
                headers=calls.directives(max_age, max_stale) | {"Content-Type": "application/json"},
                body=b'{"merchantIds":[%s]}' % ",".join(map(str, merchant_ids)).encode(),
            )
        )

    def list_merchants(
        self, *, search: str | None = None, limit: int | None = None, after: str | None = None
    ) -> Answer[models.Merchants]:
        """Read a page of the merchants that you may read."""
        return self._call(calls.merchants(params=query(search=search, limit=limit, after=after)))

    def each_merchant(self, *, search: str | None = None, max_age: float) -> Iterator[models.Merchant]:
        """Iterate over all merchants. Raises `NotAcceptedError` if the list is older than `max_age` seconds."""
        after = None
        while True:
            page = (self.list_merchants(search=search, after=after)).accept_stale(max_age)
            yield from page.merchants
            if (after := page.next) is None:
                return

    def get_breakdown(
        self, *, sort: str | None = None, limit: int | None = None, after: str | None = None
    ) -> Answer[models.Breakdown]:
        """Read a page of every merchant, and the totals. `sort` goes with the first page only."""
        params = query(sort=sort, limit=limit, after=after)
        return self._call(calls.listing("/v1/portfolio/merchants", models.Breakdown, params=params))

    def each_breakdown_page(
        self, *, sort: str | None = None, limit: int | None = None, max_age: float
    ) -> Iterator[Answer[models.Breakdown]]:
        """Iterate over the pages of one version. Raises `GoneError` if you take too long, or it is above `max_age`."""
        answer = self.get_breakdown(sort=sort, limit=limit)
        while True:
            yield answer
            if (after := answer.accept_partial(max_age).next) is None:
                return
            answer = self.get_breakdown(limit=limit, after=after)

    def get_holders(
        self, asset_id: str, *, limit: int | None = None, after: str | None = None
    ) -> Answer[models.Holders]:
        """Read a page of the merchants that hold an asset, the largest first."""
        path = f"/v1/portfolio/assets/{calls.segment(asset_id)}"
        return self._call(calls.listing(path, models.Holders, params=query(limit=limit, after=after)))

    def each_holders_page(
        self, asset_id: str, *, limit: int | None = None, max_age: float
    ) -> Iterator[Answer[models.Holders]]:
        """Iterate over the pages of one version. Raises `GoneError` if you take too long, or it is above `max_age`."""
        answer = self.get_holders(asset_id, limit=limit)
        while True:
            yield answer
            if (after := answer.accept_partial(max_age).next) is None:
                return
            answer = self.get_holders(asset_id, limit=limit, after=after)

    def get_last_reconciliation(self) -> models.Reconciliation:
        """Read the last comparison of the aggregate with the merchants."""
        return self._call(calls.plain(RECONCILIATION, models.Reconciliation))

    def get_reconciliation(self, reconciliation_id: str) -> models.Reconciliation:
        """Read the state of a comparison."""
        path = f"{RECONCILIATION}s/{calls.segment(reconciliation_id)}"
        return self._call(calls.plain(path, models.Reconciliation))

    def start_reconciliation(self) -> models.Reconciliation:
        """Start a comparison. It is sent once: without an answer you do not know whether it runs."""
        return self._call(calls.plain(RECONCILIATION, models.Reconciliation, method="POST", repeats=False))

    def get_merchant_changes(
        self, merchant_id: int, *, from_: str | None = None, until: str | None = None, after: str | None = None
    ) -> models.Changes:
        """Read a page of a merchant's changes, the oldest first. Times are RFC 3339."""
        params = query(from_=from_, until=until, after=after)
        path = f"{calls.merchant_path(merchant_id)}/changes"
        return self._call(calls.plain(path, models.Changes, params=params))

    def get_portfolio_changes(
        self, *, from_: str | None = None, until: str | None = None, after: str | None = None
    ) -> models.Changes:
        """Read a page of the changes of the upstream's own sum, the oldest first."""
        params = query(from_=from_, until=until, after=after)
        return self._call(calls.plain("/v1/portfolio/changes", models.Changes, params=params))

    def get_upstream_balances(self, merchant_id: int, *, max_age: int | None = None) -> Answer[models.UpstreamAccount]:
        """Read a merchant in the upstream's own shape. Its problems are `UnexpectedAnswerError`."""
        return self._call(calls.upstream_account(merchant_id, calls.directives(max_age, None)))

    def get_liveness(self) -> models.Health:
        """Read whether the gateway is alive."""
        return self._call(calls.plain("/health/live", models.Health))

    def get_readiness(self) -> models.Health:
        """Read whether the gateway wants requests. One that does not is no error."""
        return self._call(calls.plain("/health/ready", models.Health, accepts=frozenset({503})))

    def watch(
        self,
        merchant_ids: calls.Merchants,
        *,
        portfolio: bool = False,
        assets: list[str] | None = None,
        within: int | None = None,
        after: str | None = None,
    ) -> Iterator[WatchEvent]:
        """Watch balances for as long as you iterate: each connection goes on where the last one stopped.

        `within` is the age that balances may reach, 5 to 600 s. Raises only what another connection cannot help.
        """
        options = watch_options(portfolio=portfolio, assets=assets, within=within)
        watching = Watching(merchant_ids, options, after, self._draw)
        while True:
            failure: Exception | None = None
            try:
                yield from self._stream(watching)
            except (httpx.TransportError, TallygateError) as error:
                failure = error
            lost = watching.lost(failure)
            yield lost
            self._sleep(lost.retry_in_seconds)

    def changes(
        self, merchant_ids: calls.Merchants, *, after: str | None = None, wait_seconds: int = 20
    ) -> Iterator[FeedEvent]:
        """Follow the feed for as long as you iterate: each change at least once, and each gap is said."""
        following = Following(merchant_ids, after, wait_seconds, self._draw)
        while True:
            try:
                page = self._call(following.call(), following.deadline_seconds)
            except TallygateError as error:
                event = following.failed(error)
                yield event
                self._sleep(getattr(event, "retry_in_seconds", 0))
                continue
            yield from following.take(page)

    def _stream(self, watching: Watching) -> Iterator[WatchEvent]:
        parser = EventParser()
        timeout = httpx.Timeout(SILENCE_SECONDS)
        headers = watching.headers(self._read_credential())
        url = f"{self._url}/v1/watch"
        with self._http.stream("GET", url, params=watching.params, headers=headers, timeout=timeout) as response:
            if response.status_code >= _FIRST_ERROR:
                raise make_error(response.status_code, response.read(), response.headers.get("retry-after"))
            for piece in response.iter_bytes():
                for event in parser.feed(piece):
                    if (found := watching.take(event)) is not None:
                        yield found
                if watching.has_ended:
                    return

    def _account(
        self, path: str, assets: list[str] | None, max_age: int | None, max_stale: int | None
    ) -> Answer[models.Account]:
        params, headers = query(assets=calls.list_assets(assets)), calls.directives(max_age, max_stale)
        return self._call(calls.account(path, models.Account, params=params, headers=headers))

    def _call(self, call: Call[T], deadline_seconds: float | None = None) -> T:
        steps = self._sending.steps(call, self._read_credential(), deadline_seconds)
        outcome: Reply | httpx.TransportError | None = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as finished:
                value: T = finished.value
                return value
            outcome = self._perform(step)

    def _perform(self, step: Send | Pause) -> Reply | httpx.TransportError | None:
        if isinstance(step, Pause):
            self._sleep(step.seconds)
            return None
        call = step.call
        request = self._http.build_request(
            call.method,
            self._url + call.path,
            params=call.params,
            headers=step.headers,
            content=call.body,
            timeout=step.timeout_seconds,
        )
        try:
            response = self._http.send(request)
        except httpx.TransportError as error:
            return error
        return Reply(response.status_code, response.headers, response.content)

    def _read_credential(self) -> str | None:
        return self._credential() if callable(self._credential) else self._credential


def _batch_params(assets: list[str] | None, *, require_complete: bool) -> dict[str, str]:
    return query(assets=calls.list_assets(assets), require="complete" if require_complete else None)
