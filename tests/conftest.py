"""Fixtures for all: a real Valkey, the real simulated upstream, the service in this process."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from app.cache.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.service import Service, run_service

_FLEETS = Path(__file__).parent / "fleet"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file in one process, and of all fleets, each of which wants the whole machine."""
    for item in items:
        group = _FLEETS if _FLEETS in item.path.parents else item.path
        item.add_marker(pytest.mark.xdist_group(str(group)))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def valkey() -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey() as server:
        yield server


@pytest.fixture
async def upstream() -> AsyncIterator[Sandbox]:
    """The simulated upstream with the user's document: merchant 12345, the aggregate, and a few more."""
    async with Sandbox(scenario="document", token="canary-token-3d1f") as sandbox:
        yield sandbox


@pytest.fixture
async def service(upstream: Sandbox, valkey: EmbeddedValkey) -> AsyncIterator[Service]:
    """The service in this process, with the real upstream and a real, empty Valkey behind it."""
    async with run_service(upstream, valkey.url) as running:
        yield running
