"""The Host header (RFC 9112, section 3.2): a request without one, with two or with a wrong one is a 400 everywhere."""

import pytest

from tests.support.raw_asgi import KEY, app_of, ask_app
from tests.support.service import Service

PATHS = [
    "/v1/merchants/12345/balances",
    "/v1/portfolio",
    "/v2/assets/account/assets?merchantId=12345",
    "/health/live",
    "/metrics",
    "/openapi.json",
    "/nowhere",
]
WRONG = {
    "none": [],
    "an empty one": [b""],
    "two": [b"a", b"b"],
    "two alike": [b"a", b"a"],
    "a list": [b"a, b"],
    "a user": [b"me@a"],
    "a path": [b"a/b"],
    "a URL": [b"http://a"],
    "a port that is none": [b"a:http"],
    "two ports": [b"a:1:2"],
    "an open bracket": [b"[::1"],
    "spaces": [b"a b"],
    "a wrong escape": [b"a%zz"],
    "a byte of no ASCII": [b"\xff"],
}
RIGHT = [b"a", b"A.example:8080", b"127.0.0.1:80", b"[::1]:8080", b"a:", b"my_service", b"a%20b", b"[v1.x]"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("hosts", WRONG.values(), ids=WRONG)
async def test_a_wrong_host_is_refused_whether_the_answer_is_hot_or_not(
    service: Service, path: str, hosts: list[bytes]
) -> None:
    app = app_of(service)
    for _ in range(2):
        await ask_app(app, path, headers=[KEY])  # now what can be hot is
    answer = await ask_app(app, path, headers=[KEY], hosts=hosts)
    assert answer.status_code == 400
    if not path.startswith("/v2/"):
        assert answer.headers["content-type"] == "application/problem+json"
        assert "Host" in answer.json()["detail"]


@pytest.mark.parametrize("host", RIGHT)
async def test_every_valid_host_is_served(service: Service, host: bytes) -> None:
    for _ in range(3):
        answer = await ask_app(app_of(service), PATHS[0], headers=[KEY], hosts=[host])
        assert answer.status_code == 200


@pytest.mark.parametrize(
    ("hosts", "status"), [([], 200), ([b""], 200), ([b"a"], 200), ([b"a", b"a"], 400), ([b"a b"], 400)]
)
async def test_http_1_0_needs_no_host(service: Service, hosts: list[bytes], status: int) -> None:
    for _ in range(2):
        answer = await ask_app(app_of(service), PATHS[0], headers=[KEY], hosts=hosts, http_version="1.0")
        assert answer.status_code == status
