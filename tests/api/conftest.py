"""Tests of the API run twice, with the hot path and the bypass and without. Those that change nothing share one service."""

import itertools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.service import DEFAULTS, Service, run_service

_NEWCOMERS = itertools.count(500_000)


@pytest.fixture(scope="package")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="package", params=[False, True], ids=["fast", "plain"], autouse=True)
def plain(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Whether every request goes through the web framework."""
    DEFAULTS["plain"] = request.param
    yield request.param
    del DEFAULTS["plain"]


@pytest.fixture(scope="package")
async def calm(valkey: EmbeddedValkey, plain: bool) -> AsyncIterator[Service]:
    """A service without faults: share it, and change nothing in its world but a merchant of your own."""
    async with (
        Sandbox(scenario="document", token="canary-token-3d1f") as upstream,
        run_service(upstream, valkey.url) as running,
    ):
        yield running


@pytest.fixture(scope="package")
async def patient(valkey: EmbeddedValkey, plain: bool) -> AsyncIterator[Service]:
    """Another one whose times are a hundred times the default ones, so that a slow test run changes no result."""
    times: dict[str, Any] = {
        "fresh_seconds": 500,
        "stale_while_revalidate_seconds": 3000,
        "stale_if_error_seconds": 60_000,
    }
    async with (
        Sandbox(scenario="document", token="canary-token-3d1f") as upstream,
        run_service(upstream, valkey.url, **times) as running,
    ):
        yield running


@pytest.fixture
def newcomer(calm: Service, patient: Service) -> Iterator[int]:
    """A merchant id that no other test uses; who makes a merchant of it need not unmake it."""
    merchant = next(_NEWCOMERS)
    yield merchant
    for world in (calm.upstream.world, patient.upstream.world):
        if world.account(merchant) is not None:
            world.delete(merchant)
