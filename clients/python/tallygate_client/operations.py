"""Operations: the call that each of them makes. Pure, and the same for both clients."""

from typing import Final

from tallygate_client import calls, models, past, service
from tallygate_client.answers import Answer
from tallygate_client.calls import Call, merchant_path, segment
from tallygate_client.options import (
    AccountOptions,
    BatchOptions,
    BreakdownOptions,
    CallOptions,
    ChangesOptions,
    MerchantsOptions,
    PageOptions,
    PastOptions,
    PastPageOptions,
    QueryOptions,
    ReadOptions,
    write_merchants,
)

RECONCILIATION: Final = "/v1/portfolio/reconciliation"
_BREAKDOWN: Final = "/v1/portfolio/merchants"


def me(options: CallOptions) -> Call[service.Me]:
    """Who one is."""
    return calls.plain("/v1/me", service.Me, options)


def moves(merchant_ids: list[int], options: CallOptions) -> Call[service.Moved]:
    """Report moves."""
    return calls.plain("/v1/moved", service.Moved, options, **calls.merchants_body(merchant_ids))


def merchant_balances(merchant_id: int, options: AccountOptions) -> Call[Answer[models.Account]]:
    """One merchant."""
    return calls.account(f"{merchant_path(merchant_id)}/balances", models.Account, options)


def merchant_balances_at(merchant_id: int, at: str, options: PastOptions) -> Call[past.Past]:
    """One merchant in the past."""
    return calls.plain(f"{merchant_path(merchant_id)}/balances", past.Past, {**options, "at": at})


def asset_balance(merchant_id: int, asset_id: str, options: ReadOptions) -> Call[Answer[models.AssetBalance]]:
    """One asset of a merchant."""
    path = f"{merchant_path(merchant_id)}/balances/{segment(asset_id)}"
    return calls.account(path, models.AssetBalance, options)


def portfolio(options: AccountOptions) -> Call[Answer[models.Account]]:
    """All together."""
    return calls.account("/v1/portfolio", models.Account, options)


def portfolio_at(at: str, options: PastOptions) -> Call[past.Past]:
    """All together in the past."""
    return calls.plain("/v1/portfolio", past.Past, {**options, "at": at})


def batch(merchant_ids: list[int], options: BatchOptions) -> Call[Answer[models.Batch]]:
    """Many merchants, named in the URL."""
    params = {"merchantId": write_merchants(merchant_ids)}
    return calls.listing("/v1/balances", models.Batch, options, params=params)


def query(merchant_ids: list[int], options: QueryOptions) -> Call[Answer[models.Batch]]:
    """Many merchants, named in the body."""
    return calls.listing("/v1/balances", models.Batch, options, **calls.merchants_body(merchant_ids))


def merchants(options: MerchantsOptions) -> Call[Answer[models.Merchants]]:
    """A page of merchants."""
    return calls.merchants(options)


def breakdown(options: BreakdownOptions) -> Call[Answer[models.Breakdown]]:
    """A page of every merchant."""
    return calls.listing(_BREAKDOWN, models.Breakdown, options)


def breakdown_at(at: str, options: PastPageOptions) -> Call[past.PastBreakdown]:
    """A page of every merchant in the past."""
    return calls.plain(_BREAKDOWN, past.PastBreakdown, {**options, "at": at})


def holders(asset_id: str, options: PageOptions) -> Call[Answer[models.Holders]]:
    """A page of the holders of an asset."""
    return calls.listing(f"/v1/portfolio/assets/{segment(asset_id)}", models.Holders, options)


def reconciliation(reconciliation_id: str | None, options: CallOptions) -> Call[service.Reconciliation]:
    """A comparison, or the last one."""
    path = RECONCILIATION if reconciliation_id is None else f"{RECONCILIATION}s/{segment(reconciliation_id)}"
    return calls.plain(path, service.Reconciliation, options)


def start_reconciliation(options: CallOptions) -> Call[service.Reconciliation]:
    """Start a comparison. It must not be sent twice."""
    return calls.plain(RECONCILIATION, service.Reconciliation, options, method="POST", repeats=False)


def merchant_changes(merchant_id: int, options: ChangesOptions) -> Call[past.Changes]:
    """A page of the changes of one merchant."""
    return calls.plain(f"{merchant_path(merchant_id)}/changes", past.Changes, options)


def portfolio_changes(options: ChangesOptions) -> Call[past.Changes]:
    """A page of the changes of all together."""
    return calls.plain("/v1/portfolio/changes", past.Changes, options)


def upstream_balances(merchant_id: int, options: ReadOptions) -> Call[Answer[models.UpstreamAccount]]:
    """One merchant in the upstream's own shape."""
    return calls.upstream_account(merchant_id, options)


def liveness(options: CallOptions) -> Call[service.Health]:
    """Whether the gateway is alive."""
    return calls.plain("/health/live", service.Health, options)


def readiness(options: CallOptions) -> Call[service.Health]:
    """Whether the gateway wants requests. One that does not is no error."""
    return calls.plain("/health/ready", service.Health, options, accepts=frozenset({503}))
