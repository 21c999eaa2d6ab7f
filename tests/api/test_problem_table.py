"""Every error of the tree as a caller sees it. An unforeseen one is shown as an internal error and no more."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from app.api.problem_kinds import PROBLEMS
from app.errors import HistoryGone, MethodNotAllowed, TallygateError, UnknownCode, UpstreamBusy
from tests.support.apps import failing_app
from tests.support.errors import assert_envelope, assert_problem

PATHS = ["/v1/merchants/1/balances", "/v1/merchants/1/balances/BTC", "/v1/portfolio"]
V2 = "/v2/assets/account/assets?merchantId=1"

SECRET = "secret text"  # what must not be seen

FORESEEN = sorted(PROBLEMS, key=lambda kind: kind.__name__)
UNFORESEEN = [
    RuntimeError,
    KeyError,
    AssertionError,
    RecursionError,
    TimeoutError,
    OSError,
    UnicodeError,
    ExceptionGroup,
]


def make(kind: type[TallygateError], retry_after_seconds: float | None) -> TallygateError:
    if kind is HistoryGone:
        return HistoryGone("In our words.", kept_from_ms=0)
    if kind is MethodNotAllowed:
        return MethodNotAllowed("In our words.", allow="GET, HEAD")
    if kind is UnknownCode:
        return UnknownCode("In our words.", code=-9999)
    return kind("In our words.", retry_after_seconds=retry_after_seconds)


@pytest.mark.parametrize("kind", FORESEEN)
async def test_every_error_of_the_tree_is_its_problem(kind: type[TallygateError], plain: bool) -> None:
    name = PROBLEMS[kind].name
    async with failing_app(make(kind, 3.2), plain=plain) as client:
        for path in PATHS:
            response = await client.get(path)
            assert_problem(response, name, instance=path)
            assert response.json()["detail"] == "In our words."
            assert response.headers.get("retry-after") in {None, "4"}
        assert_envelope(await client.get(V2), name)


@pytest.mark.parametrize(("seconds", "sent"), [(None, None), (0.0, "1"), (0.2, "1"), (1.0, "1"), (59.01, "60")])
async def test_retry_after_is_whole_seconds_never_too_early_and_never_zero(
    seconds: float | None, sent: str | None, plain: bool
) -> None:
    async with failing_app(make(UpstreamBusy, seconds), plain=plain) as client:
        for path in (*PATHS, V2):
            assert (await client.get(path)).headers.get("retry-after") == sent


@pytest.mark.parametrize("kind", UNFORESEEN)
async def test_a_crash_is_a_fault_of_ours_that_shows_nothing_of_itself(kind: Any, plain: bool) -> None:
    error = kind(SECRET, [ValueError(SECRET)]) if kind is ExceptionGroup else kind(SECRET)
    with capture_logs():
        async with failing_app(error, plain=plain) as client:
            for path in (*PATHS, "/health/ready"):
                response = await client.get(path)
                assert_problem(response, "internal-error", instance=path)
                assert not any(word in response.text for word in (SECRET, "Traceback", kind.__name__))
                assert SECRET not in str(response.headers)
                headed = await client.head(path)
                assert (headed.status_code, headed.content) == (500, b"")
            assert_envelope(await client.get(V2), "internal-error")


async def test_after_a_crash_the_service_goes_on_and_its_log_has_what_callers_do_not_see(plain: bool) -> None:
    with capture_logs() as logs:
        async with failing_app(RuntimeError(SECRET), plain=plain) as client:
            for _ in range(3):
                assert (await client.get(PATHS[0])).status_code == 500
            assert (await client.get("/health/live")).status_code == 200
    crashes = [line for line in logs if line["event"] == "request.crashed"]
    assert [str(line["exc_info"]) for line in crashes] == [SECRET] * 3
