"""Fixtures of the fault tests: one loop a module, and an upstream that a module's tests share."""

import itertools
from collections.abc import AsyncIterator, Iterator

import pytest

from sandbox import Sandbox
from tests.support.gateway import TOKEN


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def shared_upstream() -> AsyncIterator[Sandbox]:
    """A world of many merchants, so that every test has some to itself."""
    async with Sandbox(scenario="random", merchants=900, token=TOKEN) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def unasked(shared_upstream: Sandbox) -> Iterator[int]:
    """The merchants with balances that no test of the module has asked for."""
    world = shared_upstream.world
    return (each for each in world.merchant_ids if (account := world.account(each)) and account.balances)


@pytest.fixture
def merchants(unasked: Iterator[int]) -> list[int]:
    """Ten merchants that no other test of the module has asked for."""
    return list(itertools.islice(unasked, 10))
