"""Fixtures of the integration tests: one loop a module, and a gateway that a module's tests share."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from sandbox import Sandbox
from tests.support.gateway import TOKEN, Gateway, run_gateway


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def shared_upstream() -> AsyncIterator[Sandbox]:
    """The user's document, served to all tests of a module."""
    async with Sandbox(scenario="document", token=TOKEN) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
async def gateway(shared_upstream: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """A gateway with an embedded Valkey that all tests of a module share."""
    async with run_gateway(shared_upstream, tmp_path_factory.mktemp("gateway"), log_level="debug") as running:
        yield running


@pytest.fixture
def private_tmp() -> Iterator[Path]:
    """A temporary directory to give to a service as its own, with a path short enough for a Unix socket."""
    with TemporaryDirectory(prefix="t-") as folder:
        yield Path(folder)
