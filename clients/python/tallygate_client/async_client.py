"""The asynchronous client. `client.py` is made from this file by `make python-client`; a test compares them."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Final, Self, Unpack

import httpx

from tallygate_client import models, operations, past, service
from tallygate_client.answers import Answer
from tallygate_client.async_connection import AsyncConnection, Credential
from tallygate_client.following import Following
from tallygate_client.live import FeedEvent, FeedOptions, WatchEvent, Watching, WatchOptions
from tallygate_client.options import (
    AccountOptions,
    BatchOptions,
    BreakdownOptions,
    CallOptions,
    ChangesOptions,
    Merchants,
    MerchantsOptions,
    PageOptions,
    PastOptions,
    PastPageOptions,
    QueryOptions,
    ReadOptions,
)
from tallygate_client.sending import Sending, TagCache


class AsyncClient:
    """A client of one gateway. Close it, or use it as a context manager.

    A call takes at most `deadline_seconds` with its repetitions, as far as one wait of the network allows: `Retry-After`
    is obeyed, and failures of the network are repeated. It raises the errors of `tallygate_client.problems`.
    Cancelling a call ends its request. `http` is a client of httpx that stays yours: you close it. The options of each
    method are explained in `tallygate_client.options`.
    """

    def __init__(
        self,
        url: str,
        credential: Credential | None = None,
        *,
        deadline_seconds: float = 30,
        http: httpx.AsyncClient | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._owns_http: Final = http is None
        self._http: Final = httpx.AsyncClient() if http is None else http
        self._draw: Final = draw
        self._connection: Final = AsyncConnection(
            url=url.rstrip("/"),
            credential=credential,
            http=self._http,
            sending=Sending(deadline_seconds, TagCache(), monotonic, draw),
            sleep=sleep,
        )
        self._call: Final = self._connection.call

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        if self._owns_http:
            await self._http.aclose()

    async def get_me(self, **options: Unpack[CallOptions]) -> service.Me:
        """Read who you are, what you may read, how fast, and until when."""
        return await self._call(operations.me(options))

    async def report_moves(self, merchant_ids: list[int], **options: Unpack[CallOptions]) -> service.Moved:
        """Report that money was moved: what is older than now is fetched before it is served."""
        return await self._call(operations.moves(merchant_ids, options))

    async def get_merchant_balances(
        self, merchant_id: int, **options: Unpack[AccountOptions]
    ) -> Answer[models.Account]:
        """Read a merchant's balances."""
        return await self._call(operations.merchant_balances(merchant_id, options))

    async def get_merchant_balances_at(self, merchant_id: int, at: str, **options: Unpack[PastOptions]) -> past.Past:
        """Read a merchant's balances at a moment of the past (RFC 3339). `certainty` says how sure that is."""
        return await self._call(operations.merchant_balances_at(merchant_id, at, options))

    async def get_asset_balance(
        self, merchant_id: int, asset_id: str, **options: Unpack[ReadOptions]
    ) -> Answer[models.AssetBalance]:
        """Read one asset of a merchant."""
        return await self._call(operations.asset_balance(merchant_id, asset_id, options))

    async def get_portfolio(self, **options: Unpack[AccountOptions]) -> Answer[models.Account]:
        """Read the upstream's own sum over all merchants."""
        return await self._call(operations.portfolio(options))

    async def get_portfolio_at(self, at: str, **options: Unpack[PastOptions]) -> past.Past:
        """Read the upstream's own sum at a moment of the past (RFC 3339)."""
        return await self._call(operations.portfolio_at(at, options))

    async def get_balances(self, merchant_ids: list[int], **options: Unpack[BatchOptions]) -> Answer[models.Batch]:
        """Read up to 1,000 merchants."""
        return await self._call(operations.batch(merchant_ids, options))

    async def query_balances(self, merchant_ids: list[int], **options: Unpack[QueryOptions]) -> Answer[models.Batch]:
        """Read up to 1,000 merchants, for lists too long for a URL."""
        return await self._call(operations.query(merchant_ids, options))

    async def list_merchants(self, **options: Unpack[MerchantsOptions]) -> Answer[models.Merchants]:
        """Read a page of the merchants that you may read."""
        return await self._call(operations.merchants(options))

    async def each_merchant(
        self, *, max_age: float, **options: Unpack[MerchantsOptions]
    ) -> AsyncIterator[models.Merchant]:
        """Iterate over all merchants. Raises `NotAcceptedError` if the list is older than `max_age` seconds."""
        while True:
            page = (await self.list_merchants(**options)).accept_stale(max_age)
            for merchant in page.merchants:
                yield merchant
            if page.next is None:
                return
            options["after"] = page.next

    async def get_breakdown(self, **options: Unpack[BreakdownOptions]) -> Answer[models.Breakdown]:
        """Read a page of every merchant, and the totals."""
        return await self._call(operations.breakdown(options))

    async def get_breakdown_at(self, at: str, **options: Unpack[PastPageOptions]) -> past.PastBreakdown:
        """Read a page of every merchant at a moment of the past (RFC 3339)."""
        return await self._call(operations.breakdown_at(at, options))

    async def each_breakdown_page(self, **options: Unpack[BreakdownOptions]) -> AsyncIterator[Answer[models.Breakdown]]:
        """Iterate over the pages of one version. Raises `GoneError` if you take more than 5 minutes."""
        while True:
            answer = await self.get_breakdown(**options)
            yield answer
            if (after := answer.next_page) is None:
                return
            options.pop("sort", None)  # a cursor has the order in it
            options["after"] = after

    async def get_holders(self, asset_id: str, **options: Unpack[PageOptions]) -> Answer[models.Holders]:
        """Read a page of the merchants that hold an asset, the largest first."""
        return await self._call(operations.holders(asset_id, options))

    async def each_holders_page(
        self, asset_id: str, **options: Unpack[PageOptions]
    ) -> AsyncIterator[Answer[models.Holders]]:
        """Iterate over the pages of one version. Raises `GoneError` if you take more than 5 minutes."""
        while True:
            answer = await self.get_holders(asset_id, **options)
            yield answer
            if (after := answer.next_page) is None:
                return
            options["after"] = after

    async def get_last_reconciliation(self, **options: Unpack[CallOptions]) -> service.Reconciliation:
        """Read the last comparison of the aggregate with the merchants."""
        return await self._call(operations.reconciliation(None, options))

    async def get_reconciliation(
        self, reconciliation_id: str, **options: Unpack[CallOptions]
    ) -> service.Reconciliation:
        """Read the state of a comparison."""
        return await self._call(operations.reconciliation(reconciliation_id, options))

    async def start_reconciliation(self, **options: Unpack[CallOptions]) -> service.Reconciliation:
        """Start a comparison. It is sent once: without an answer you do not know whether it runs."""
        return await self._call(operations.start_reconciliation(options))

    async def get_merchant_changes(self, merchant_id: int, **options: Unpack[ChangesOptions]) -> past.Changes:
        """Read a page of a merchant's changes, the oldest first."""
        return await self._call(operations.merchant_changes(merchant_id, options))

    async def get_portfolio_changes(self, **options: Unpack[ChangesOptions]) -> past.Changes:
        """Read a page of the changes of the upstream's own sum, the oldest first."""
        return await self._call(operations.portfolio_changes(options))

    async def get_upstream_balances(
        self, merchant_id: int, **options: Unpack[ReadOptions]
    ) -> Answer[models.UpstreamAccount]:
        """Read a merchant in the upstream's own shape. Its problems have that shape too: `EnvelopeError`."""
        return await self._call(operations.upstream_balances(merchant_id, options))

    async def get_liveness(self, **options: Unpack[CallOptions]) -> service.Health:
        """Read whether the gateway is alive."""
        return await self._call(operations.liveness(options))

    async def get_readiness(self, **options: Unpack[CallOptions]) -> service.Health:
        """Read whether the gateway wants requests. One that does not is no error."""
        return await self._call(operations.readiness(options))

    def watch(self, merchant_ids: Merchants, **options: Unpack[WatchOptions]) -> AsyncGenerator[WatchEvent, None]:
        """Watch balances for as long as you iterate: each connection goes on where the last one stopped.

        Raises only what another connection cannot help.
        """
        return self._connection.watch(Watching(merchant_ids, options, self._draw))

    def changes(self, merchant_ids: Merchants, **options: Unpack[FeedOptions]) -> AsyncGenerator[FeedEvent, None]:
        """Follow the feed for as long as you iterate: each change at least once, and each gap is said."""
        return self._connection.follow(Following(merchant_ids, options, self._draw))
