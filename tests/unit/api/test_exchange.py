"""Exchanges: a moment of the past is read, however the clock moves meanwhile."""

import itertools
from typing import Any

import pytest
from litestar import Request

from app.access.callers import Caller, hash_key
from app.api.context import CONTEXT, RequestContext
from app.api.rendering.batch_fragments import BatchFragments
from app.api.routes.exchange import Exchange
from app.cache.freshness import FreshnessPolicy
from app.errors import InvalidRequest

AT, AT_MS = "2026-11-25T17:00:00.780Z", 1_795_626_000_780


def exchange(*headers: tuple[bytes, bytes]) -> Exchange:
    caller = Caller("one", hash_key("tg_one"), frozenset(), portfolio=False)
    context = RequestContext("id", caller=caller)
    scope: Any = {"type": "http", "headers": list(headers), "state": {CONTEXT: context}}
    accounts: Any = None
    ticks = itertools.count(AT_MS + 1000)
    return Exchange(
        Request(scope),
        accounts=accounts,
        fragments=BatchFragments(1),
        policy=FreshnessPolicy(5_000, 30_000, 600_000, 10_000),
        unix_ms=lambda: next(ticks),
    )


def test_a_moment_is_read_although_each_look_at_the_clock_shows_another_time() -> None:
    assert exchange().read_past(AT) == AT_MS


def test_a_moment_goes_with_no_directive() -> None:
    with pytest.raises(InvalidRequest, match="directives"):
        exchange((b"cache-control", b"max-age=1")).read_past(AT)
