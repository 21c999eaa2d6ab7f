"""Faults for one merchant of a service that tests share."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.support.service import Service


@asynccontextmanager
async def trouble(service: Service, merchant: int, kind: str, **fields: Any) -> AsyncIterator[None]:
    """Let a fault meet one merchant; afterwards the upstream gives a sign of life, so that the breaker stays closed."""
    with service.upstream.fault(kind, merchants=[merchant], **fields):
        yield
    assert (await service.get("/v1/merchants/12345/balances", cache_control="no-cache")).status_code == 200
