"""Web apps of the origins that are named read every answer, problems too; all others read none."""

from collections.abc import AsyncIterator

import pytest

from app.redis.embedded import EmbeddedValkey
from sandbox import Sandbox
from tests.support.pages import NotAllowed, Page
from tests.support.raw_asgi import ask_raw
from tests.support.service import KEYS, Service, run_service

APP, OTHER_APP = "https://app.example.com", "http://localhost:3000"
STRANGERS = [
    "https://evil.example",
    "https://app.example.com.evil.example",
    "https://app.example.com:8443",
    "http://app.example.com",
    "https://APP.example.com",
    "https://app.example.com/",
    "null",
    "*",
    "",
]
PATH = "/v1/merchants/12345/balances"
KEY = {"Authorization": f"Bearer {KEYS['all']}"}
CONDITIONS = {"Cache-Control": "max-age=60", "If-None-Match": '"x"', "X-Request-Id": "mine"}
REFUSALS = [
    (PATH, {"Authorization": "Bearer wrong"}, 401),
    ("/v1/merchants/99999/balances", {"X-BH-TOKEN": KEYS["some"]}, 403),
    ("/v1/merchants/99999/balances", KEY, 404),
    ("/v1/nowhere", KEY, 404),
    ("//v1/nowhere", KEY, 404),
    (f"{PATH}?x=1", KEY, 400),
    ("/v2/nowhere", {"X-BH-TOKEN": KEYS["all"]}, 404),
]


@pytest.fixture(scope="module")
async def open_service(valkey: EmbeddedValkey, plain: bool) -> AsyncIterator[Service]:
    async with (
        Sandbox(scenario="document", token="canary-token-3d1f") as upstream,
        run_service(upstream, valkey.url, cors_origins=frozenset({APP, OTHER_APP})) as running,
    ):
        yield running


@pytest.mark.parametrize("origin", [APP, OTHER_APP])
async def test_a_page_reads_balances_and_what_their_headers_say(open_service: Service, origin: str) -> None:
    page = Page(open_service.anonymous, origin)
    for _ in range(2):  # the second one comes from the hot path
        status, headers, body = await page.fetch(PATH, KEY | CONDITIONS)
        assert (status, '"merchantId":12345' in body) == (200, True)
        assert {"etag", "age", "cache-status", "x-request-id", "cache-control"} <= set(headers)


async def test_a_page_with_open_telemetry_reads_and_follows_a_stream(open_service: Service) -> None:
    sent = {
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "tracestate": "vendor=1",
        "baggage": "userId=alice",
        "Last-Event-ID": "5",
        "Prefer": "wait=10",
    }
    status, _, body = await Page(open_service.anonymous, APP).fetch(PATH, KEY | CONDITIONS | sent)
    assert (status, '"merchantId":12345' in body) == (200, True)


async def test_a_page_with_a_tag_gets_a_304(open_service: Service) -> None:
    page = Page(open_service.anonymous, APP)
    _, headers, _ = await page.fetch(PATH, KEY)
    for _ in range(2):
        status, again, _ = await page.fetch(PATH, KEY | {"If-None-Match": headers["etag"]})
        assert (status, again["etag"]) == (304, headers["etag"])


@pytest.mark.parametrize(("path", "headers", "status"), REFUSALS)
async def test_a_page_reads_problems_too(
    open_service: Service, path: str, headers: dict[str, str], status: int
) -> None:
    found, shown, body = await Page(open_service.anonymous, APP).fetch(path, headers)
    assert (found, "x-request-id" in shown) == (status, True)
    assert '"code"' in body if path.startswith("/v2/") else '"type":"/problems/' in body


async def test_a_page_that_is_too_fast_reads_when_to_come_back(open_service: Service) -> None:
    page = Page(open_service.anonymous, APP)
    answers = [await page.fetch(PATH, {"Authorization": f"Bearer {KEYS['slow']}"}) for _ in range(6)]
    status, headers, _ = answers[-1]
    assert (status, headers["retry-after"]) == (429, "1")
    assert "ratelimit" in answers[0][1]


async def test_a_page_posts_a_long_list(open_service: Service) -> None:
    status, _, body = await Page(open_service.anonymous, APP).fetch(
        "/v1/balances", KEY | {"Content-Type": "application/json"}, "POST", {"merchantIds": [12345]}
    )
    assert (status, '"complete":true' in body) == (200, True)


async def test_a_page_learns_where_a_reconciliation_is(open_service: Service) -> None:
    status, headers, _ = await Page(open_service.anonymous, APP).fetch("/v1/portfolio/reconciliation", KEY, "POST")
    assert (status, headers["location"].startswith("/v1/portfolio/reconciliations/")) == (202, True)


@pytest.mark.parametrize("path", ["/health/live", "/problems/forbidden", "/openapi.json"])
async def test_a_page_reads_what_needs_no_key(open_service: Service, path: str) -> None:
    assert (await Page(open_service.anonymous, APP).fetch(path, {}))[0] == 200


@pytest.mark.parametrize("origin", STRANGERS)
async def test_no_other_origin_reads_anything(open_service: Service, origin: str) -> None:
    for path, headers in ((PATH, KEY), ("/v1/nowhere", KEY), (PATH, {})):
        for method in ("GET", "OPTIONS"):
            response = await open_service.anonymous.request(method, path, headers={**headers, "Origin": origin})
            assert not [name for name in response.headers if name.startswith("access-control-")]
            assert response.headers["vary"].split(", ")[-1] == "Origin"
    with pytest.raises(NotAllowed):
        await Page(open_service.anonymous, origin).fetch(PATH, KEY)


async def test_two_origins_at_once_are_none(open_service: Service) -> None:
    response = await ask_raw(open_service, PATH, headers=[(b"origin", APP.encode())] * 2)
    assert (response.status_code, "access-control-allow-origin" in response.headers) == (200, False)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_a_page_may_not_even_send_what_no_path_takes(open_service: Service, method: str) -> None:
    with pytest.raises(NotAllowed, match=method):
        await Page(open_service.anonymous, APP).fetch(PATH, KEY, method)


@pytest.mark.parametrize(
    ("path", "methods"), [(PATH, "GET, HEAD"), ("/v1/balances", "GET, HEAD, POST"), ("/v1/nowhere", "GET, HEAD")]
)
async def test_a_preflight_needs_no_key_and_names_the_methods_of_the_path(
    open_service: Service, path: str, methods: str
) -> None:
    exchange = {"Origin": APP, "Access-Control-Request-Method": "GET"}
    response = await open_service.anonymous.options(path, headers=exchange)
    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["access-control-allow-methods"] == methods
    assert int(response.headers["access-control-max-age"]) > 0
    assert not {"content-length", "content-type"} & set(response.headers)
    assert "x-request-id" in response.headers


async def test_cookies_are_never_asked_for(open_service: Service) -> None:
    for method in ("GET", "OPTIONS"):
        response = await open_service.anonymous.request(method, PATH, headers={**KEY, "Origin": APP})
        assert "access-control-allow-credentials" not in response.headers
        assert response.headers["access-control-allow-origin"] == APP


@pytest.mark.parametrize("path", [PATH, "/v1/nowhere", "/health/live", "/docs"])
async def test_where_origins_are_named_every_answer_varies_by_them_and_where_none_are_no_answer_does(
    open_service: Service, calm: Service, path: str
) -> None:
    for _ in range(2):
        assert "Origin" in (await open_service.get(path)).headers["vary"]
        assert "Origin" not in (await calm.get(path, Origin=APP)).headers.get("vary", "")


async def test_without_the_setting_a_preflight_is_an_options_request_like_any_other(calm: Service) -> None:
    with pytest.raises(NotAllowed):
        await Page(calm.anonymous, APP).fetch(PATH, KEY)
