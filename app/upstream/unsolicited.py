"""Answers that nobody asked for: they are reported, and what they may have spoiled is fetched again."""

from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import structlog

from app.balances.snapshots import AccountId
from app.telemetry.metrics import Metrics

log = structlog.get_logger()


def report_unsolicited(metrics: Metrics, refetch: Callable[[AccountId], None], targets: tuple[str, ...]) -> None:
    """Count and log that a connection sent more than was asked for, and fetch its last accounts again.

    `targets` are those of its last two requests. The later one may have got a late second answer to the earlier one.
    """
    accounts = [
        AccountId(account) for target in targets for account in parse_qs(urlsplit(target).query).get("merchantId", ())
    ]
    metrics.upstream_unsolicited.add()
    log.warning("upstream.unsolicited_answer", merchants=accounts)
    for account_id in dict.fromkeys(accounts):
        refetch(account_id)
