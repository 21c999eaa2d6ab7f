"""Unit tests run in virtual time."""

import pytest
from fakeredis import FakeServer

from tests.support.replica import Upstream
from tests.support.virtual_time import VIRTUAL_TIME


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return VIRTUAL_TIME


@pytest.fixture
def server() -> FakeServer:
    """What the replicas of a test share."""
    return FakeServer()


@pytest.fixture
def upstream() -> Upstream:
    """The upstream that they ask."""
    return Upstream()
