"""Smuggling: no bytes become more requests than a strict reader sees in them, and the connection ends after a refusal."""

import pytest

from tests.support.answering import App
from tests.support.caller import call, settle

HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked"
LENGTH = b"Content-Length: 5"


def request(*lines: bytes, line: bytes = b"POST / HTTP/1.1") -> bytes:
    return b"\r\n".join([line, b"Host: x", *lines, b"", b""])


def chunked(body: bytes) -> bytes:
    return request(CHUNKED) + body


REFUSED_HEADS = [
    request(LENGTH, CHUNKED),
    request(CHUNKED, LENGTH),
    request(LENGTH, LENGTH),
    request(LENGTH, b"Content-Length: 6"),
    *[
        request(b"Content-Length: " + each)
        for each in (b"5, 5", b"+5", b"-5", b"5 5", b"0x5", b"", b"5_0", b"5\x0b", b"\xb2")
    ],
    request(b"Content-Length: 18446744073709551616"),
    request(b"Content-Length : 5"),
    request(b"Content-Length\t: 5"),
    *[
        request(b"Transfer-Encoding:" + each)
        for each in (b"", b" xchunked", b" chunked, gzip", b" gzip, chunked", b" identity", b" chunked, chunked")
    ],
    *[
        request(b"Transfer-Encoding:" + each)
        for each in (b" chunked;a=b", b"\x0bchunked", b'"chunked"', b" chunked\x00")
    ],
    request(CHUNKED, CHUNKED),
    request(CHUNKED, b"Transfer-Encoding: identity"),
    request(b"Transfer-Encoding: gzip", b"A: b", CHUNKED),
    request(b"Transfer-Encoding : chunked"),
    request(b"A: b", b" folded: c"),
    request(b"A: b", b"\tContent-Length: 5"),
    request(line=b"POST / HTTP/1.1\r\n A: b"),
    *[request(b"A: b%bContent-Length: 5" % each) for each in (b"\n", b"\r", b"\0", b"\x01", b"\x7f")],
    *[request(each) for each in (b": x", b"A", b"A(: x", b"A\x80: x", b"\0A: x", b"A\r: x")],
    request().replace(b"\r\n", b"\n"),
    request()[:-2] + b"\n",
    *[request(line=b"POST %b HTTP/1.1" % each) for each in (b"x", b"/\x80", b"/\0", b"/a b", b"/\t", b"http://", b"")],
    *[request(line=each) for each in (b"POST / HTTP/1.2", b"POST / HTTP/2.0", b"POST / HTTP/0.9", b"POST / HTTP/11")],
    *[
        request(line=each)
        for each in (b"POST / http/1.1", b"POST / HTTP/1.1 ", b"POST\t/ HTTP/1.1", b"post / HTTP/1.1")
    ],
    *[request(line=each) for each in (b"ODD / HTTP/1.1", b"GET /", b"GET / HTTP/", b"GET", b"\x16\x03\x01\x02\x00")],
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\0\0\0",
]


@pytest.mark.parametrize("head", REFUSED_HEADS)
@pytest.mark.parametrize("is_cut", [True, False])
async def test_head_that_others_might_read_otherwise_is_refused(head: bytes, *, is_cut: bool) -> None:
    app = App()
    caller = call(app)
    data = head + b"12345" + HIDDEN
    caller.send(*[data[place : place + 1] for place in range(len(data))] if is_cut else [data])
    caller.send(HIDDEN)
    await settle()
    assert app.seen == []
    assert [each.status for each in caller.answers("POST")] == [400]
    assert caller.has_got_end
    assert not caller.is_gone


REFUSED_CHUNKS = [
    *[
        each + b"\r\nhello\r\n0\r\n\r\n"
        for each in (b"0x5", b"5 ", b" 5", b"+5", b"-5", b"", b"g", b"5;a\nb", b"5;a\rb", b"5;")
    ],
    *[
        each + b"\r\nhello\r\n0\r\n\r\n"
        for each in (b"5; a = b", b"5;a=\x01", b"5\r", b"10000000000000005", b"fffffffffffffffff")
    ],
    *[b"5\r\nhello" + each + b"0\r\n\r\n" for each in (b"", b"X", b"\n", b"\r", b"\r\r\n", b"!\r\n")],
    b"5\nhello\r\n0\r\n\r\n",
    *[
        b"0\r\n" + each + b"\r\n\r\n"
        for each in (b"Content-Length: 5", CHUNKED, b"A: b\nC: d", b"A", b" A: b", b"A : b", b"A: b\0")
    ],
    b"0\r\n\n",
    b"0\n\r\n",
]


@pytest.mark.parametrize("chunks", REFUSED_CHUNKS)
async def test_chunks_that_others_might_read_otherwise_are_refused(chunks: bytes) -> None:
    app = App()
    caller = call(app)
    caller.send(chunked(chunks) + HIDDEN, HIDDEN)
    await settle()
    assert app.seen == []
    assert [each.status for each in caller.answers("POST")] == [400]
    assert caller.has_got_end


async def test_trailers_reach_neither_their_request_nor_the_next() -> None:
    app = App()
    caller = call(app)
    trailers = b"Authorization: secret\r\nHost: y\r\nConnection: upgrade\r\nUpgrade: h2c\r\nLast: z\r\n"
    sent = chunked(b"5\r\nhello\r\n0\r\n" + trailers + b"\r\n")
    caller.send(sent + HIDDEN)
    caller.send(*[sent[place : place + 1] for place in range(len(sent))], HIDDEN)
    await settle()
    post = ("POST", ((b"host", b"x"), (b"transfer-encoding", b"chunked")), b"hello")
    get = ("GET", ((b"host", b"x"),), b"")
    assert [(each.method, each.headers, each.body) for each in app.seen] == [post, get] * 2


@pytest.mark.parametrize("size", [100, 100_000])
async def test_trailers_and_extensions_without_end_are_refused(size: int) -> None:
    for begin in (b"0\r\nA: ", b"0\r\nA", b"1;", b"1;a=", b'1;a="'):
        app = App()
        caller = call(app)
        caller.send(chunked(begin))
        await settle()
        for _ in range(22):
            caller.send(b"x" * size)
            await settle()
        assert caller.has_got_end is (size > 100), begin
        assert [each.status for each in caller.answers(*["POST"] * caller.has_got_end)] == [431] * caller.has_got_end


# A request that ends its connection


@pytest.mark.parametrize(
    "last",
    [
        request(b"Connection: close", line=b"GET / HTTP/1.1"),
        request(b"Connection: keep-alive, Close", line=b"GET / HTTP/1.1"),
        request(b"Connection: close", b"Connection: keep-alive", line=b"GET / HTTP/1.1"),
        request(b"Connection: close", b"Connection: upgrade", b"Upgrade: h2c", line=b"GET / HTTP/1.1"),
        request(line=b"GET / HTTP/1.0"),
        request(b"Connection: keep-alive", line=b"GET / HTTP/1.0"),
        request(b"Connection: upgrade", b"Upgrade: x", line=b"GET / HTTP/1.0"),
        request(CHUNKED, b"Connection: keep-alive", line=b"POST / HTTP/1.0") + b"0\r\n\r\n",
        request(LENGTH, b"Connection: close") + b"12345",
        request(line=b"CONNECT example.com:80 HTTP/1.1"),
        request(LENGTH, line=b"CONNECT example.com:80 HTTP/1.1"),
        request(CHUNKED, line=b"CONNECT example.com:80 HTTP/1.1"),
    ],
)
@pytest.mark.parametrize("apart", [True, False])
async def test_nothing_after_the_last_request_of_a_connection_is_answered(last: bytes, *, apart: bool) -> None:
    app = App()
    caller = call(app)
    caller.send(*([last, HIDDEN] if apart else [last + HIDDEN]), HIDDEN)
    await settle()
    assert len(app.seen) == 1
    (got,) = caller.answers(app.seen[0].method if app.seen[0].method != "CONNECT" else "POST")
    assert (b"connection", b"close") in got.headers
    assert caller.has_got_end or caller.is_gone
    caller.end()
    await settle()
    assert caller.is_gone
    assert not caller.was_reset


# Upgrades, which are not accepted (RFC 9110, 7.8)

UPGRADES = [
    [b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"],
    [b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: AAAA"],
]


@pytest.mark.parametrize("upgrade", UPGRADES)
@pytest.mark.parametrize(
    ("framing", "sent"),
    [
        ([], b""),
        ([b"Content-Length: %d" % len(HIDDEN)], HIDDEN),
        ([CHUNKED], b"%x\r\n%b\r\n0\r\nA: b\r\n\r\n" % (len(HIDDEN), HIDDEN)),
    ],
)
@pytest.mark.parametrize("is_cut", [True, False])
async def test_request_for_an_upgrade_is_read_as_any_other(
    upgrade: list[bytes], framing: list[bytes], sent: bytes, *, is_cut: bool
) -> None:
    app = App()
    caller = call(app)
    data = request(*upgrade, *framing, b"X: y ", line=b"POST /a?b HTTP/1.1") + sent + HIDDEN
    caller.send(*[data[place : place + 1] for place in range(len(data))] if is_cut else [data])
    await settle()
    assert [(each.method, each.target, each.body) for each in app.seen] == [
        ("POST", b"/a?b", HIDDEN if sent else b""),
        ("GET", b"/hidden", b""),
    ]
    kept = {b"host": b"x", b"x": b"y"}
    assert kept.items() <= dict(app.seen[0].headers).items()
    assert len(caller.answers("POST", "GET")) == 2
    assert not caller.is_gone


async def test_many_upgrades_in_one_read_are_answered() -> None:
    app = App()
    caller = call(app)
    caller.send(request(*UPGRADES[0], line=b"GET /now HTTP/1.1") * 2000)
    await settle()
    assert len(app.seen) == 2000
