"""The canary of merchants: whatever others do, a restricted caller gets the same bytes of everything that is live."""

import asyncio
import re

import httpx

from tests.api.test_history import look
from tests.support.rows import row
from tests.support.service import Service

OWN, ANSWERED_LATER = (777, 12345), ("date", "x-request-id", "age")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
SEALED = re.compile(r"[0-9a-f]{8}\.[\w-]{40,}")
REQUEST = re.compile(r'"requestId":"\w+"')


def seen(response: httpx.Response) -> str:
    """Return all that a caller sees of an answer, but for times; a sealed cursor is its length."""
    headers = {name: value for name, value in response.headers.items() if name not in ANSWERED_LATER}
    text = f"{response.request.method} {response.status_code} {headers}\n{response.text}"
    return REQUEST.sub("<id>", SEALED.sub(lambda found: f"<{len(found[0])}>", TIME.sub("<time>", text)))


async def transcript(service: Service, foreign: int, begun: str, cursor: str) -> list[str]:
    """Ask for all that is live, after a cursor of the feed. `begun` is a moment of which something is known."""
    for merchant in OWN:
        await service.get(f"/v1/merchants/{merchant}/balances", "some", Cache_Control="no-cache")
    tag = (await service.get("/v1/merchants/12345/balances", "some")).headers["etag"]
    feed = "/v1/changes?merchantId=all"
    asked: tuple[tuple[str, dict[str, str]], ...] = (
        (f"{feed}&after={cursor}", {}),
        (f"{feed}&after={cursor}&limit=1", {"Prefer": "wait=1"}),
        (f"{feed}&after={cursor}&format=csv", {}),
        (f"{feed}&after={cursor}&format=text", {}),
        (feed, {}),
        (f"/v1/changes?merchantId=12345,{foreign}", {}),
        (f"/v1/merchants/{foreign}/changes", {}),
        (f"/v1/merchants/{foreign}/balances?at={begun}", {}),
        ("/v1/merchants/12345/changes", {}),
        ("/v1/merchants/12345/balances", {"If-None-Match": tag, "Prefer": "wait=1"}),
        ("/v1/portfolio/changes", {}),
        (f"/v1/portfolio/merchants?at={begun}", {}),
        (f"/v1/watch?merchantId=12345,{foreign}", {}),
    )
    answers = await asyncio.gather(*(service.get(path, "some", **headers) for path, headers in asked))
    key = {"Authorization": "Bearer tg_some"}
    moved = await service.anonymous.post("/v1/moved", json={"merchantIds": [12345, foreign]}, headers=key)
    return [*map(seen, answers), seen(moved)]


async def test_what_is_live_is_the_same_to_the_byte_whatever_other_merchants_do(calm: Service, newcomer: int) -> None:
    first = await calm.get("/v1/merchants/12345/balances", "some", Cache_Control="no-cache")
    begun = first.json()["asOf"]
    cursor = (await calm.get("/v1/changes?merchantId=all&limit=1000", "some")).json()["next"]
    quiet = await transcript(calm, newcomer, begun, cursor)

    async def move() -> None:
        for amount in range(1000):
            await look(calm, newcomer, row(str(amount + 1)))

    moving = asyncio.create_task(move())
    await asyncio.sleep(0.1)
    assert await transcript(calm, newcomer, begun, cursor) == quiet
    moving.cancel()
    changes = (await calm.get(f"/v1/merchants/{newcomer}/changes")).json()["changes"]
    assert len(changes) > 10
