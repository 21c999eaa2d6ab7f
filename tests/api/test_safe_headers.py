"""Every answer tells a browser what it needs to know to make nothing else of it."""

import pytest

from tests.support.raw_asgi import app_of as app
from tests.support.raw_asgi import ask_app, ask_raw
from tests.support.service import Service

PATHS = [
    "/v1/merchants/12345/balances",
    "/v1/portfolio/merchants",
    "/v1/merchants/99999/balances",
    "/v1/merchants/007/balances",
    "/v1/nowhere",
    "/v1/nowhere/",
    "/v2/assets/account/assets?merchantId=12345",
    "/v2/nowhere",
    "/health/live",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/problems/forbidden",
    "/" + "a" * 9000,
]


@pytest.mark.parametrize("path", PATHS)
async def test_every_answer_says_once_that_it_is_nothing_but_what_it_says(calm: Service, path: str) -> None:
    for method in ("GET", "HEAD", "POST", "OPTIONS", "GET"):
        for response in (await ask_raw(calm, path, method), await ask_app(app(calm), path, method)):
            assert response.headers.get_list("x-content-type-options") == ["nosniff"]
            assert response.headers.get_list("referrer-policy") == ["no-referrer"]
            assert response.headers.get_list("cross-origin-resource-policy") == ["same-origin"]


async def test_a_304_from_memory_says_so_too(calm: Service) -> None:
    etag = (await calm.get(PATHS[0])).headers["etag"]
    for _ in range(2):
        response = await calm.get(PATHS[0], If_None_Match=etag)
        assert (response.status_code, response.headers["x-content-type-options"]) == (304, "nosniff")


async def test_what_is_no_page_has_no_policy_for_one(calm: Service) -> None:
    for path in PATHS:
        assert ("content-security-policy" in (await calm.get(path)).headers) == (
            path in {"/docs", "/problems/forbidden"}
        )
