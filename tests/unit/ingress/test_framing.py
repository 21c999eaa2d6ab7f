"""Requests arrive in pieces of any size: the application sees exactly these, and the caller reads the answers in order."""

import asyncio
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.answering import App, Seen, answer, go_on, header, read_body, see, start
from tests.support.caller import Got, call, settle
from tests.support.virtual_time import VirtualLoop

Headers = tuple[tuple[bytes, bytes], ...]


class Request(NamedTuple):
    """A request as bytes, and what the application is to see of it."""

    data: bytes
    seen: Seen


NAMES = st.sampled_from([b"Accept", b"X-Odd_~name!", b"authorization", b"A"])
VALUES = st.sampled_from([b"", b"x", b"a b\tc", b"\xff\x80", b'"q", W/"r"', b"x" * 3000])
SPACE = st.sampled_from([b"", b" ", b" \t "])
TARGETS = st.sampled_from(
    [
        (b"/", b"/"),
        (b"/now/a", b"/now/a"),
        (b"/now/b?c=%20&d", b"/now/b?c=%20&d"),
        (b"/caf%C3%A9//..;x/%2F%zz%ff", b"/caf%C3%A9//..;x/%2F%zz%ff"),
        (b"/a?b?c/d", b"/a?b?c/d"),
        (b"/a#fragment?no", b"/a"),
        (b"http://other:81/p/q?r", b"/p/q?r"),
        (b"HTTP://other", b"/"),
        (b"/a://b?c", b"/a://b?c"),
        (b"*", b"*"),
    ]
)
SHAPES = st.sampled_from(["length", "chunks", "streamed length", "empty", "304", "204", "slow"])
BODIES = st.sampled_from([b"", b"x", b"GET /smuggled HTTP/1.1\r\n\r\n", b"0\r\n\r\n", bytes(range(256)) * 20])
EXTENSIONS = st.sampled_from([b"", b";a", b";a=b", b';a="b\\"c";d=e'])
TRAILERS = st.sampled_from([b"", b"X-Trailer: y\r\n", b"Authorization: z\r\nHost: w\r\n"])


@st.composite
def _requests(draw: st.DrawFn) -> Request:
    """One that lets the connection live."""
    method, (target, seen_target) = draw(st.sampled_from(["GET", "HEAD", "POST", "OPTIONS"])), draw(TARGETS)
    headers = [(b"Host", b"x"), (b"x-shape", draw(SHAPES).encode()), *draw(st.lists(st.tuples(NAMES, VALUES)))]
    sent, body = b"", b""
    if method == "POST" and draw(st.booleans()):
        parts = draw(st.lists(BODIES.filter(bool)))
        extension = draw(EXTENSIONS)
        body, headers = b"".join(parts), [*headers, (b"Transfer-Encoding", b"Chunked")]
        sent = b"".join(b"%X%b\r\n%b\r\n" % (len(part), extension, part) for part in parts)
        sent += b"00%b\r\n%b\r\n" % (extension, draw(TRAILERS))
    elif method == "POST":
        sent = body = draw(BODIES)
        headers.append((b"Content-Length", b"%d" % len(body)))
    before, after = draw(SPACE), draw(st.sampled_from([b"", b"  "]))  # llhttp takes no tab after a coding
    lines = b"".join(b"%b:%b%b%b\r\n" % (name, before, value, after) for name, value in headers)
    head = b"%b %b HTTP/1.1\r\n%b\r\n" % (method.encode(), target, lines)
    seen_headers = tuple((name.lower(), value) for name, value in headers)
    way = "now" if seen_target.startswith(b"/now") and method in {"GET", "HEAD"} else "run"
    return Request(
        draw(st.sampled_from([b"", b"\r\n"])) + head + sent, Seen(way, method, seen_target, seen_headers, body)
    )


async def _shaped(scope: Any, receive: Any, send: Any) -> None:
    """Answer in the shape that is asked for."""
    shape, body = header(scope["headers"], b"x-shape"), see(scope, await read_body(receive), "run").target
    match shape:
        case b"length":
            await answer(send, body)
        case b"streamed length":
            await start(send, (b"content-length", b"%d" % len(body)))
            await go_on(send, body[:1], more=True)
            await go_on(send, body[1:], more=True)
            await go_on(send, b"")
        case b"empty":
            await answer(send, b"")
        case b"204" | b"304":
            await start(send, status=int(shape))
            await go_on(send, b"")
        case _:
            await start(send)
            await go_on(send, body[:1], more=True)
            await asyncio.sleep(3 * (shape == b"slow"))
            await go_on(send, b"", more=True)
            await go_on(send, body[1:])


class Shaping(App):
    """Answer in shapes, and see bodies."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        place = len(self.seen)
        self.seen.append(see(scope, b"", "run"))

        async def receive_seen() -> Any:
            message = await receive()
            seen = self.seen[place]
            self.seen[place] = seen._replace(body=seen.body + message.get("body", b""))
            return message

        await _shaped(scope, receive_seen, send)


def _expected(request: Request) -> Got:
    shape = "length" if request.seen.way == "now" else (header(request.seen.headers, b"x-shape") or b"").decode()
    status = int(shape) if shape.isdigit() else 200
    is_empty = shape in {"empty", "204", "304"} or request.seen.method == "HEAD"
    return Got(status, [], b"" if is_empty else request.seen.target)


@settings(max_examples=60)
@given(
    requests=st.lists(_requests(), min_size=1, max_size=6),
    repeats=st.integers(1, 2),
    cuts=st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=12),
    is_cut_between=st.booleans(),
)
def test_any_cut_of_requests_reads_the_same(
    requests: list[Request], repeats: int, cuts: list[tuple[float, bool]], *, is_cut_between: bool
) -> None:
    requests = [request for request in requests for _ in range(repeats)]
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(_check(requests, cuts, is_cut_between=is_cut_between))


async def _check(requests: list[Request], cuts: list[tuple[float, bool]], *, is_cut_between: bool) -> None:
    app = Shaping()
    caller = call(app)
    data = b"".join(request.data for request in requests)
    places = {round(place * len(data)): waits for place, waits in cuts}
    if is_cut_between:
        ends = [sum(len(each.data) for each in requests[: n + 1]) for n in range(len(requests))]
        places |= dict.fromkeys(ends, False)
    begin = 0
    for end in [*sorted(places), len(data)]:
        caller.send(data[begin:end])
        begin = end
        if places.get(end):
            await settle()
    await asyncio.sleep(3 * len(requests) + 1)
    ways = [each.way for each in app.seen]
    assert [each._replace(way="") for each in app.seen] == [request.seen._replace(way="") for request in requests]
    assert all(way != "run" for way, each in zip(ways, requests, strict=True) if each.seen.way == "now" != way)
    answers = caller.answers(*(request.seen.method for request in requests))
    assert [each._replace(headers=[]) for each in answers] == [_expected(request) for request in requests]
    assert not caller.is_gone
    assert caller.is_read
