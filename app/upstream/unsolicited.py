"""Answers that nobody asked for: they are reported, and what they may have spoiled is fetched again."""

from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import structlog

from app.balances.snapshots import AccountId
from app.telemetry.metrics import Metrics

log = structlog.get_logger()


def report_unsolicited(metrics: Metrics, withdraw: Callable[[AccountId], None], targets: tuple[str, ...]) -> None:
    """Count and log that a connection sent more than was asked for, and withdraw what it may have mixed up.

    `targets` are those of its last two requests, which may have got late answers to those before them. The only request
    of a connection got its own answer.
    """
    accounts = [
        AccountId(account) for target in targets for account in parse_qs(urlsplit(target).query).get("merchantId", ())
    ]
    metrics.upstream_unsolicited.add()
    log.warning("upstream.unsolicited_answer", merchants=accounts)
    if len(targets) > 1:
        for account_id in dict.fromkeys(accounts):
            withdraw(account_id)
