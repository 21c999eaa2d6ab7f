"""The Python client's memory of answers, its clock and what it takes an answer for, against a network that is made up."""

from collections.abc import Iterator

import httpx
import pytest
from tallygate_client import (
    EnvelopeError,
    ForbiddenError,
    NoAnswerError,
    NotFoundError,
    UnavailableError,
)
from tallygate_client.problems import make_error
from tallygate_client.sending import MAX_KNOWN_BYTES, TagCache, back_off

from tests.clients.test_python_sending import ACCOUNT, HELLO, Network, part, problem, streaming

COVERAGE = {"expected": 1, "fresh": 1, "stale": 0, "unavailable": 0}
BATCH = {"complete": True, "coverage": COVERAGE, "merchants": [], "version": "v", "totals": []}


def tagged(**headers: str) -> httpx.Response:
    return httpx.Response(200, json=ACCOUNT, headers={"ETag": 'W/"1"', **headers})


def tags(network: Network) -> list[str | None]:
    return [request.headers.get("if-none-match") for request in network.requests]


def test_an_unchanged_answer_has_the_age_of_now() -> None:
    late = httpx.Response(304, headers={"Age": "9", "Cache-Status": "tallygate; hit; ttl=-4"})
    network = Network(tagged(Age="0"), late)
    client = network.connect()
    first, second = [client.get_merchant_balances(1) for _ in range(2)]
    assert (first.state, second.state, second.age_seconds) == ("fresh", "stale", 9)
    assert second.accept_stale(9) == first.fresh
    assert tags(network) == [None, 'W/"1"']


def test_a_tag_is_sent_for_the_same_question_of_the_same_caller_only() -> None:
    network = Network(*[tagged() for _ in range(4)])
    keys = iter(["a", "b", "a", "a"])
    client = network.connect(lambda: next(keys))
    for assets in (["BTC"], ["BTC"], ["ETH"], ["BTC"]):
        client.get_merchant_balances(1, assets=assets)
    assert tags(network) == [None, None, None, 'W/"1"']
    assert [request.headers["authorization"] for request in network.requests] == [f"Bearer {key}" for key in "abaa"]


def test_a_refusal_ends_what_was_known() -> None:
    network = Network(tagged(), problem("unknown-merchant", 404), tagged())
    client = network.connect()
    client.get_merchant_balances(1)
    with pytest.raises(NotFoundError):
        client.get_merchant_balances(1)
    client.get_merchant_balances(1)
    assert tags(network) == [None, 'W/"1"', None]


def test_a_repetition_asks_for_the_credential_again() -> None:
    keys = iter(["old", "new"])
    network = Network(problem("issuer-unavailable", 503, retryAfter=1), tagged())
    network.connect(lambda: next(keys)).get_merchant_balances(1)
    assert [request.headers["authorization"] for request in network.requests] == ["Bearer old", "Bearer new"]


def test_what_is_known_is_bounded_and_the_latest_stays() -> None:
    cache = TagCache()
    for number in range(5):
        cache.put(number, "tag", b"x" * (MAX_KNOWN_BYTES // 3))
    assert [number for number in range(5) if cache.get(number)] == [2, 3, 4]
    cache.put(2, None, b"")
    cache.put(5, "tag", b"x" * (MAX_KNOWN_BYTES // 3))
    assert [number for number in range(6) if cache.get(number)] == [3, 4, 5]


def test_an_attempt_may_take_what_is_left_and_a_wait_comes_on_top() -> None:
    network = Network(problem("too-fast", 429, retryAfter=7), tagged(), tagged())
    client = network.connect()
    client.get_merchant_balances(1)
    client.get_merchant_balances(1, wait_seconds=20, deadline_seconds=5)
    assert [request.extensions["timeout"]["read"] for request in network.requests] == [30, 23, 25]


def test_an_answer_that_drips_ends_with_the_deadline() -> None:
    network = Network()

    def drip() -> Iterator[bytes]:
        while True:
            network.now += 2
            yield b" "

    network.answers = [httpx.Response(200, content=drip()) for _ in range(20)]
    with pytest.raises(NoAnswerError):
        network.connect().get_me()
    assert network.now <= 32


def test_what_was_refused_for_haste_had_not_begun_and_is_sent_again() -> None:
    network = Network(problem("too-fast", 429, retryAfter=5), problem("forbidden", 403))
    with pytest.raises(ForbiddenError):
        network.connect().start_reconciliation()
    assert network.pauses == [5]


def test_those_that_failed_together_come_apart_and_nobody_waits_for_ever() -> None:
    assert [back_off(attempt, lambda: 0.5) for attempt in (0, 1, 10, 5000)] == pytest.approx([0.1375, 0.275, 5.5, 5.5])
    network = Network(problem("too-fast", 429, retryAfter=7), tagged())
    network.connect(draw=0.5).get_merchant_balances(1)
    end = b'event: end\ndata: {"reason":"draining","retryAfter":2}\n\n'
    network.answers = [streaming(HELLO, part(1), end), problem("forbidden", 403)]
    with pytest.raises(ForbiddenError):
        list(network.connect(draw=0.5).watch([1]))
    assert network.pauses == [7.125, 2.25]


def test_holders_and_merchants_are_given_to_the_last_page() -> None:
    holders = {"assetId": "BTC", "complete": True, "coverage": COVERAGE, "holders": [], "version": "v"}
    network = Network(*[httpx.Response(200, json=holders | more) for more in ({"next": "n"}, {})])
    assert [page.next_page for page in network.connect().each_holders_page("BTC")] == ["n", None]
    listed = {"directoryAsOf": "2026-11-23T10:00:00Z", "directoryStale": False, "total": 2}
    ids = ({"merchants": [{"merchantId": 1}], "next": "n"}, {"merchants": [{"merchantId": 2}]})
    network.answers = [httpx.Response(200, json=listed | more, headers={"Age": "0"}) for more in ids]
    assert [merchant.merchant_id for merchant in network.connect().each_merchant(max_age=9)] == [1, 2]


def test_pages_follow_each_other_and_the_order_goes_with_the_first_only() -> None:
    pages = [httpx.Response(200, json=BATCH | more) for more in ({"next": "n"}, {})]
    network = Network(*pages)
    assert len(list(network.connect().each_breakdown_page(sort="id", limit=2))) == 2
    assert [str(request.url.query, "ascii") for request in network.requests] == ["sort=id&limit=2", "limit=2&after=n"]


@pytest.mark.parametrize("more", [{"directoryStale": True}, {"coverage": COVERAGE | {"fresh": 0, "stale": 1}}])
def test_a_view_with_something_stale_is_stale(more: dict[str, object]) -> None:
    network = Network(httpx.Response(200, json=BATCH | more))
    assert network.connect().get_breakdown().state == "stale"


@pytest.mark.parametrize(
    "more",
    [{"complete": False}, {"coverage": COVERAGE | {"unavailable": 1}}, {"coverage": COVERAGE | {"partial": 1}}],
    ids=str,
)
def test_a_view_that_lacks_something_is_partial_whatever_says_so(more: dict[str, object]) -> None:
    network = Network(httpx.Response(200, json=BATCH | more))
    assert network.connect().get_breakdown().state == "partial"


def test_an_old_list_of_merchants_is_stale() -> None:
    network = Network(httpx.Response(200, json={"merchants": [], "directoryStale": True}))
    assert network.connect().list_merchants().state == "stale"


def test_a_question_in_a_body_has_no_tag() -> None:
    batch = {"complete": True, "coverage": COVERAGE, "merchants": []}
    network = Network(*[httpx.Response(200, json=batch, headers={"ETag": "W/1"}) for _ in range(2)])
    client = network.connect()
    for ids in ([1], [2]):
        client.query_balances(ids)
    assert tags(network) == [None, None]


def test_a_stale_answer_names_what_it_covers() -> None:
    network = Network(tagged(**{"Cache-Status": "tallygate; fwd=stale; ttl=-3; detail=breaker-open"}))
    assert network.connect().get_merchant_balances(1).covers == "breaker-open"


def test_errors_have_their_times_and_shapes() -> None:
    body = problem("upstream-busy", 503, retryAfter=3).content
    assert make_error(503, body, None).retry_after_seconds == 3
    assert make_error(503, body, "4").retry_after_seconds == 4
    refused = make_error(404, b'{"code":-5006,"msg":"No such merchant","data":null}', None)
    assert isinstance(refused, EnvelopeError)
    assert (refused.code, refused.status) == (-5006, 404)


def test_a_body_that_cannot_be_decoded_is_no_answer() -> None:
    broken = httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(b"no gzip"))
    network = Network(broken, problem("token-refused", 502))
    with pytest.raises(UnavailableError):
        network.connect().get_me()
    assert len(network.requests) == 2
