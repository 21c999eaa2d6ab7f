"""A reconciliation, from its start to what it comes to."""

from typing import Any

from httpx import Response

from tests.support.polling import ask_until
from tests.support.service import Service

PATH = "/v1/portfolio/reconciliation"


async def reconcile(service: Service) -> dict[str, Any]:
    """Start one and give what it comes to."""
    started = await service.client.post(PATH)
    assert started.status_code == 202, started.text
    location = started.headers["location"]
    assert location == f"/v1/portfolio/reconciliations/{started.json()['id']}"

    def is_over(response: Response) -> bool:
        assert response.status_code == 200
        assert response.headers["cache-control"] == "no-store"
        return response.json()["state"] != "running"  # type: ignore[no-any-return]

    return dict((await ask_until(lambda: service.get(location), is_over)).json())
