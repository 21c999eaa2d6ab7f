"""The client that web apps import from the gateway: served to everybody, and checked by its tag."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.pages import NotAllowed, Page
from tests.support.service import Service, run_service

FOLDER = Path(__file__).parents[2] / "app" / "api" / "client"
APP = "https://app.example.com"
TYPES = {"tallygate.js": "text/javascript; charset=utf-8", "tallygate.d.ts": "text/plain; charset=utf-8"}


@pytest.fixture(scope="module")
async def open_service(valkey: EmbeddedValkey, plain: bool) -> AsyncIterator[Service]:
    async with (
        Sandbox(scenario="document", token="canary-token-3d1f") as upstream,
        run_service(upstream, valkey.url, cors_origins=frozenset({APP})) as running,
    ):
        yield running


@pytest.mark.parametrize(("name", "media_type"), TYPES.items())
async def test_a_file_is_served_without_a_key_and_only_once_while_it_is_the_same(
    calm: Service, name: str, media_type: str
) -> None:
    first = await calm.anonymous.get(f"/client/{name}")
    assert (first.status_code, first.headers["content-type"]) == (200, media_type)
    assert first.content == (FOLDER / name).read_bytes()
    assert first.headers["cache-control"] == "public, no-cache"
    again = await calm.anonymous.get(f"/client/{name}", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert (await calm.anonymous.head(f"/client/{name}")).headers["content-type"] == media_type


async def test_a_page_of_an_admitted_origin_imports_it_and_no_other_page(open_service: Service) -> None:
    status, _, body = await Page(open_service.anonymous, APP).fetch("/client/tallygate.js", {})
    assert (status, "Tallygate" in body) == (200, True)
    with pytest.raises(NotAllowed):
        await Page(open_service.anonymous, "https://evil.example").fetch("/client/tallygate.js", {})


async def test_it_takes_no_parameters(calm: Service) -> None:
    assert (await calm.anonymous.get("/client/tallygate.js?v=1")).status_code == 400
