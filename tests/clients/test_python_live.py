"""The Python client's watch and feed against a network that is made up: silence, pauses, and what ends them."""

import httpx
import pytest
from tallygate_client import AsyncClient, Balances, Disconnected, ForbiddenError, Hello

from tests.clients.test_python_sending import HELLO, Network, part, problem, streaming


def test_a_stream_that_is_silent_for_three_heartbeats_is_given_up() -> None:
    network = Network(streaming(HELLO, httpx.ReadTimeout("silent")))
    events = network.connect().watch([1])
    next(events)
    lost = next(events)
    assert isinstance(lost, Disconnected)
    assert (lost.reason, lost.error) == ("silent", None)
    assert network.requests[0].extensions["timeout"] == dict.fromkeys(("connect", "read", "write", "pool"), 30)


def test_a_proxy_s_page_ends_no_watch_and_each_success_begins_the_pauses_anew() -> None:
    page = httpx.Response(502, text="<html>")
    network = Network(page, page, page, streaming(HELLO, part(1)), page, streaming(HELLO, part(2)))
    events = network.connect().watch([1])
    lost = [event for event in (next(events) for _ in range(9)) if isinstance(event, Disconnected)]
    assert [getattr(event.error, "status", None) for event in lost] == [502, 502, 502, None, 502]
    assert network.pauses == pytest.approx([0.025, 0.05, 0.1, 0.025, 0.05])


def test_a_stream_that_only_begins_is_no_success() -> None:
    network = Network(*[streaming(HELLO) for _ in range(3)])
    events = network.connect().watch([1])
    for _ in range(6):
        next(events)
    assert network.pauses == pytest.approx([0.025, 0.05])


def test_nothing_is_read_after_the_end_of_a_stream_and_haste_ends_no_watch() -> None:
    end = b'event: end\ndata: {"reason":"lifetime"}\n\n'
    refused = problem("too-many-streams", 429, retryAfter=5)
    network = Network(streaming(HELLO, part(1), end, part(2)), refused, problem("forbidden", 403))
    seen = list[object]()
    with pytest.raises(ForbiddenError):
        seen.extend(network.connect(lambda: f"key {len(network.requests)}").watch([1]))
    assert [type(event) for event in seen] == [Hello, Balances, Disconnected, Disconnected]
    assert network.pauses[1] == 5
    assert [request.headers["authorization"] for request in network.requests] == [f"Bearer key {n}" for n in range(3)]


def test_the_feed_waits_longer_and_longer_or_as_asked_and_each_page_begins_the_pauses_anew() -> None:
    page = {"epoch": "e", "keptFrom": "x", "complete": True, "changes": [], "next": "n"}
    failed = httpx.Response(502, text="<html>")
    busy = problem("store-unavailable", 503, retryAfter=3)
    network = Network(failed, failed, httpx.Response(200, json=page), failed, busy, problem("forbidden", 403))
    with pytest.raises(ForbiddenError):
        list(network.connect().changes("all"))
    assert network.pauses == pytest.approx([0.025, 0.05, 0.025, 3])


async def test_a_watch_that_is_left_closes_its_connection() -> None:
    closed: list[bool] = []

    class Body(httpx.AsyncByteStream):
        async def __aiter__(self):  # type: ignore[no-untyped-def]
            yield HELLO
            raise AssertionError("nobody asked for more")

        async def aclose(self) -> None:
            closed.append(True)

    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200, stream=Body()))) as http:
        events = AsyncClient("http://x", http=http).watch([1])
        await anext(events)
        await events.aclose()
    assert closed == [True]
