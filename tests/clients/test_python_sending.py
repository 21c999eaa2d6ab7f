"""The Python client alone: repetitions, staleness, streams and twins, against a network that is made up."""

import ast
from collections.abc import Callable, Iterator

import httpx
import msgspec
import pytest
from tallygate_client import (
    AsyncClient,
    Balances,
    Client,
    Disconnected,
    FeedChanges,
    ForbiddenError,
    Gap,
    Hello,
    NoAnswerError,
    NotAcceptedError,
    ProblemError,
    Synced,
    UnavailableError,
    UnexpectedAnswerError,
)
from tallygate_client.event_stream import EventParser
from tallygate_client.problems import make_error

from app.api.problem_kinds import PROBLEMS, ProblemKind
from tests.support.write_sync_client import FOLDER, TWINS, make_sync

ACCOUNT = {"merchantId": 1, "canDeposit": True, "asOf": "2026-11-23T10:00:00.123Z", "balances": []}
URL = "http://tallygate.test"
HELLO = (
    b'event: hello\ndata: {"resumed":"new","within":{"wanted":10,"expected":10},"merchants":1,'
    b'"heartbeatSeconds":10,"endsAt":"2026-11-23T11:00:00Z"}\n\n'
)
COVERAGE = '{"coverage":{"expected":1,"fresh":1,"stale":0,"unavailable":0}}'


def part(sequence: int) -> bytes:
    body = msgspec.json.encode(ACCOUNT | {"status": "fresh", "sequence": sequence})
    return b"event: balances\nid: c%d\ndata: %s\n\n" % (sequence, body)


def problem(name: str, status: int, **more: object) -> httpx.Response:
    body = {"type": f"/problems/{name}", "title": name, "status": status, "detail": name, **more}
    return httpx.Response(status, json=body)


Answer = httpx.Response | httpx.TransportError


class Network:
    """Gives answers one after the other, and counts requests. Time passes only while somebody sleeps."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = [*answers]
        self.requests: list[httpx.Request] = []
        self.now = 0.0
        self.pauses: list[float] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        found = self.answers.pop(0)
        if isinstance(found, httpx.TransportError):
            raise found
        return found

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def connect(self, credential: Callable[[], str] = lambda: "key", *, draw: float = 0.0) -> Client:
        return Client(
            URL,
            credential,
            http=httpx.Client(transport=httpx.MockTransport(self.answer)),
            sleep=self.sleep,
            monotonic=lambda: self.now,
            draw=lambda: draw,
        )


@pytest.mark.parametrize("name", TWINS)
def test_the_synchronous_client_is_the_twin_of_the_asynchronous_one(name: str) -> None:
    made = make_sync((FOLDER / f"async_{name}.py").read_text())
    assert ast.dump(ast.parse(made)) == ast.dump(ast.parse((FOLDER / f"{name}.py").read_text())), "make python-client"


@pytest.mark.parametrize("kind", PROBLEMS.values(), ids=lambda kind: str(kind.name))
def test_each_problem_of_the_gateway_is_an_error_of_its_kind(kind: ProblemKind) -> None:
    error = make_error(kind.status, problem(kind.name, kind.status, retryAfter=2).content, "2")
    assert isinstance(error, ProblemError)
    assert type(error) is not ProblemError
    assert (error.kind, error.status, error.retry_after_seconds) == (kind.name, kind.status, 2)


def test_what_is_no_problem_is_no_gateway() -> None:
    assert isinstance(make_error(404, b"<html>", None), UnexpectedAnswerError)
    with pytest.raises(UnexpectedAnswerError):
        Network(httpx.Response(200, text="<html>")).connect().get_me()


def test_retry_after_is_obeyed_within_the_deadline() -> None:
    network = Network(problem("too-fast", 429, retryAfter=7), httpx.Response(200, json=ACCOUNT))
    assert network.connect().get_merchant_balances(1).fresh.merchant_id == 1
    assert network.pauses == [7]
    network = Network(problem("upstream-busy", 503, retryAfter=20), problem("upstream-busy", 503, retryAfter=20))
    with pytest.raises(UnavailableError):
        network.connect().get_merchant_balances(1)
    assert network.pauses == [20]


def test_a_problem_without_retry_after_is_final() -> None:
    network = Network(problem("token-refused", 502))
    with pytest.raises(UnavailableError):
        network.connect().get_merchant_balances(1)
    assert len(network.requests) == 1


def test_failures_of_the_network_are_repeated_until_the_deadline() -> None:
    network = Network(*[httpx.ConnectError("x")] * 1000)
    with pytest.raises(NoAnswerError):
        network.connect().get_me()
    assert 10 < len(network.requests) < 100
    assert network.now < 30


def test_what_must_not_be_repeated_is_sent_once() -> None:
    network = Network(httpx.ReadError("x"))
    with pytest.raises(NoAnswerError):
        network.connect().start_reconciliation()
    assert len(network.requests) == 1


@pytest.mark.parametrize(
    ("status", "body", "state"),
    [
        ("tallygate; hit; ttl=3", ACCOUNT, "fresh"),
        ("tallygate; hit; ttl=-3", ACCOUNT, "stale"),
        ("tallygate; fwd=stale; ttl=3; detail=upstream-timeout", ACCOUNT, "stale"),
        ("tallygate; hit; ttl=3", ACCOUNT | {"anomalies": [{"kind": "unreadable-asset"}]}, "partial"),
    ],
)
def test_nobody_takes_stale_or_partial_for_fresh_and_whole(status: str, body: object, state: str) -> None:
    answer = Network(httpx.Response(200, json=body, headers={"Cache-Status": status, "Age": "9"}))
    found = answer.connect().get_merchant_balances(1)
    assert (found.state, found.age_seconds) == (state, 9)
    assert found.accept_partial(9).merchant_id == 1
    for accept, states in (
        (lambda: found.fresh, {"fresh"}),
        (lambda: found.accept_stale(9), {"fresh", "stale"}),
        (lambda: found.accept_stale(8), set[str]()),
        (lambda: found.accept_partial(8), set[str]()),
    ):
        assert accepts(accept) is (state in states)


def accepts(accept: Callable[[], object]) -> bool:
    try:
        accept()
    except NotAcceptedError:
        return False
    return True


def test_events_are_read_in_pieces_of_any_size() -> None:
    stream = HELLO + part(1) + b": comment\r\n\r\nevent: x\r\ndata: a\r\ndata: b\r\n\r\nevent: cut\n"
    whole = EventParser().feed(stream)
    parser = EventParser()
    assert [event for byte in stream for event in parser.feed(bytes([byte]))] == whole
    assert [(event.name, event.id) for event in whole] == [("hello", None), ("balances", "c1"), ("x", "c1")]
    assert whole[-1].data == "a\nb"


def streaming(*pieces: bytes | httpx.TransportError) -> httpx.Response:
    def give() -> Iterator[bytes]:
        for piece in pieces:
            if isinstance(piece, httpx.TransportError):
                raise piece
            yield piece

    return httpx.Response(200, content=give())


def test_a_watch_goes_on_where_it_stopped_whatever_ended_it() -> None:
    end = b'event: end\ndata: {"reason":"draining","retryAfter":2}\n\n'
    synced = f"event: synced\nid: s\ndata: {COVERAGE}\n\n".encode()
    network = Network(
        streaming(HELLO, part(1), synced, end),
        problem("breaker-open", 503, retryAfter=4),
        streaming(HELLO, part(2), httpx.ReadTimeout("silent")),
        httpx.ConnectError("away"),
        streaming(HELLO[:20], HELLO[20:] + part(3)),
        problem("forbidden", 403),
    )
    with pytest.raises(ForbiddenError):
        list(network.connect().watch([1], within=10))
    assert [request.headers.get("last-event-id") for request in network.requests] == [None, "s", "s", "c2", "c2", "c3"]
    assert network.pauses[:2] == [2, 4]


def test_a_program_sees_each_gap_of_a_watch() -> None:
    network = Network(
        streaming(HELLO, part(1), httpx.ReadTimeout("silent")),
        streaming(HELLO, part(2), f"event: synced\nid: s\ndata: {COVERAGE}\n\n".encode(), httpx.ReadError("cut")),
    )
    events = network.connect().watch("all", portfolio=True)
    kinds = [type(next(events)) for _ in range(7)]
    assert kinds == [Hello, Balances, Disconnected, Hello, Balances, Synced, Disconnected]
    assert dict(network.requests[0].url.params) == {"merchantId": "all", "portfolio": "true"}
    assert network.requests[0].headers["accept"] == "text/event-stream"


def test_the_feed_says_each_gap_and_goes_on() -> None:
    change = {"sequence": 1, "observedBetween": {"until": "2026-11-23T10:00:00Z"}, "rows": [], "merchantId": 1}
    page = {"epoch": "e", "keptFrom": "x", "complete": True, "changes": [change], "next": "n1"}
    network = Network(
        httpx.Response(200, json=page),
        problem("feed-gone", 410),
        httpx.Response(200, json=page | {"complete": False, "next": "n2"}),
        problem("store-unavailable", 503, retryAfter=3),
        httpx.Response(200, json=page | {"changes": [], "next": "n3"}),
        problem("forbidden", 403),
    )
    events, seen = network.connect().changes("all"), list[object]()
    with pytest.raises(ForbiddenError):
        seen.extend(events)  # those before the error are kept
    assert [type(event) for event in seen] == [FeedChanges, Gap, Gap, FeedChanges, Disconnected]
    assert [request.url.params.get("after") for request in network.requests] == [None, "n1", None, "n2", "n2", "n3"]


async def test_a_client_closes_its_own_connections_only() -> None:
    own = httpx.AsyncClient()
    async with AsyncClient(URL, http=own):
        pass
    assert not own.is_closed
    await own.aclose()
