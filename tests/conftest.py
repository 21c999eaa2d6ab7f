"""Fixtures for all: a real Valkey, the real simulated upstream, the service in this process."""

import gc
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import settings
from xdist.remote import Producer  # type: ignore[import-untyped]
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.service import Service, run_service

settings.register_profile("untimed", deadline=None)  # a busy machine takes its time: no test is about that
settings.load_profile("untimed")


class _Scheduling(LoadFileScheduling):  # type: ignore[misc]
    """Keeps the tests of a file in one process, and those of all fleets, each of which wants the whole machine."""

    def _split_scope(self, nodeid: str) -> str:
        return "fleet" if nodeid.startswith("tests/fleet/") else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> _Scheduling:
    """Tell how tests are shared out among processes."""
    return _Scheduling(config, log)


def pytest_collection_finish() -> None:
    """Keep the garbage collector from all tests and all that they import, which stay: half of its time went there."""
    gc.collect()
    gc.freeze()


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
