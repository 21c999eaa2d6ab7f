"""The clients' tests speak to a service in this process, as those of the API do."""

from collections.abc import AsyncIterator

import pytest
from tallygate_client import AsyncClient

from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.service import KEYS, Service, run_service


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def service(valkey: EmbeddedValkey) -> AsyncIterator[Service]:
    upstream = Sandbox(scenario="document", token="canary-token-3d1f")
    async with upstream, run_service(upstream, valkey.url) as running:
        yield running


@pytest.fixture
def client(service: Service) -> AsyncClient:
    return connect(service)


def connect(service: Service, key: str = "all") -> AsyncClient:
    """A client of a service, whose connections are those of the service."""
    return AsyncClient("http://tallygate.test", KEYS[key], http=service.anonymous)
