"""Whose answer is it? Nothing in an answer says so: only the framing of the connection does."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from socket import SHUT_WR

import pytest

from app.egress.connection import MAX_HEAD_BYTES
from app.egress.pool import DISTRUST_SECONDS, MAX_IDLE_CONNECTIONS, MAX_IDLE_SECONDS, QUIET_SECONDS, PoolOptions
from app.egress.trust import trust_authorities
from app.errors import MalformedAnswer, Unreachable
from app.secret import Secret
from app.upstream.transport import MAX_BODY_BYTES, TOKEN_HEADER, SecretHeader, Transport
from tests.support.polling import ask_until

PATH = "/v2/assets/account/assets"
SHOWN = SecretHeader(TOKEN_HEADER, Secret("canary-token-77aa"))

Script = Callable[[str, asyncio.StreamWriter], Awaitable[None]]


class Clock:
    """Seconds that pass only when told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class RawUpstream:
    """An upstream that sends what its script says; `accepted` counts connections."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.accepted = 0
        self.requests: list[str] = []
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self.writers.append(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                target = head.split()[1].decode()
                self.requests.append(target)
                await self._script(target, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class World:
    """A transport, the raw upstream that it asks, and the clock by which connections rest."""

    def __init__(
        self, upstream: RawUpstream, transport: Transport, clock: Clock, doubted: list[tuple[str, ...]]
    ) -> None:
        self.upstream = upstream
        self.clock = clock
        self.doubted = doubted
        self._transport = transport

    async def ask(self, merchant: int) -> str:
        """Ask for a merchant and give the body, which says whose it is."""
        answer = await self._transport.get(PATH, {"merchantId": str(merchant)}, SHOWN)
        return answer.body.decode()


@asynccontextmanager
async def world(script: Script) -> AsyncIterator[World]:
    upstream, clock, doubted = RawUpstream(script), Clock(), list[tuple[str, ...]]()
    async with await asyncio.start_server(upstream.serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        options = PoolOptions(trust_authorities, 300, clock, lambda: 0.5)
        async with Transport(url, options, doubted.append) as transport:
            yield World(upstream, transport, clock, doubted)
        await asyncio.gather(*(writer.wait_closed() for writer in upstream.writers), return_exceptions=True)


async def until(is_so: Callable[[], bool]) -> None:
    async def ask() -> bool:
        return is_so()

    await ask_until(ask, bool)


def body_of(target: str) -> bytes:
    return target.encode()


def answer(target: str, *headers: str) -> bytes:
    body = body_of(target)
    return "\r\n".join(["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *headers, "", ""]).encode() + body


async def plain(target: str, writer: asyncio.StreamWriter) -> None:
    writer.write(answer(target))


def target(merchant: int) -> str:
    return f"{PATH}?merchantId={merchant}"


EXCESS = {
    "another_answer": answer("/of-another"),
    "half_an_answer": answer("/of-another")[:20],
    "a_byte": b"x",
    "a_line_break": b"\r\n",
    "an_interim_answer": b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n",
    "a_chunk": b"0\r\n\r\n",
    "many_answers": answer("/of-another") * 50,
    "nul": b"\0",
}


@pytest.mark.parametrize("excess", EXCESS.values(), ids=EXCESS)
@pytest.mark.parametrize("framing", ["length", "chunked", "no_content", "not_modified", "empty"])
async def test_what_is_sent_with_an_answer_beyond_its_end_closes_the_connection(excess: bytes, framing: str) -> None:
    heads = {
        "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "no_content": b"HTTP/1.1 204 No Content\r\n\r\n",
        "not_modified": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        "empty": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    }

    async def script(target: str, writer: asyncio.StreamWriter) -> None:
        writer.write((heads.get(framing) or answer(target)) + excess)

    async with world(script) as here:
        for merchant in (1, 2, 3):
            here.clock.now += QUIET_SECONDS
            body = await here.ask(merchant)
            assert body == {"length": target(merchant), "chunked": "ok"}.get(framing, "")
        assert here.upstream.accepted == 3
        assert [doubt[-1] for doubt in here.doubted] == [target(1), target(2), target(3)]


@pytest.mark.parametrize("excess", EXCESS.values(), ids=EXCESS)
@pytest.mark.parametrize("is_read", [True, False], ids=["read_by_the_loop", "still_in_the_socket"])
async def test_what_comes_while_a_connection_rests_closes_it_before_it_is_lent(excess: bytes, is_read: bool) -> None:
    async with world(plain) as here:
        assert await here.ask(1) == target(1)
        here.upstream.writers[0].write(excess)
        if is_read:
            await until(lambda: bool(here.doubted))
        here.clock.now += QUIET_SECONDS
        assert await here.ask(2) == target(2)
        assert await here.ask(1) == target(1)
        assert here.upstream.accepted >= 2


async def test_a_late_second_answer_during_the_next_exchange_reaches_no_other_merchant() -> None:
    """A connection carries another merchant only once it has been silent for a while."""
    late = asyncio.Event()

    async def script(target: str, writer: asyncio.StreamWriter) -> None:
        if target.endswith("=1"):
            writer.write(answer(target))
            await late.wait()
        writer.write(answer(target))

    async with world(script) as here:
        assert await here.ask(1) == target(1)
        asking = asyncio.create_task(here.ask(2))
        await until(lambda: len(here.upstream.requests) == 2)
        late.set()
        assert await asking == target(2)
        await until(lambda: bool(here.doubted))
        assert here.doubted == [(target(1),)]


async def test_two_answers_together_on_a_kept_connection_are_none_and_may_be_repeated() -> None:
    async def script(target: str, writer: asyncio.StreamWriter) -> None:
        writer.write(answer("/of-another") + answer(target) if target.endswith("=2") else answer(target))

    async with world(script) as here:
        await here.ask(1)
        here.clock.now += QUIET_SECONDS
        with pytest.raises(Unreachable) as caught:
            await here.ask(2)
        assert caught.value.is_repeatable
        assert here.doubted == [(target(1), target(2))]


async def test_after_one_stray_answer_no_connection_is_kept_for_a_while() -> None:
    async def script(target: str, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(target) + (answer(target) if target.endswith("=1") else b""))

    async with world(script) as here:
        await here.ask(1)
        for merchant in (2, 3, 3):
            here.clock.now += QUIET_SECONDS
            assert await here.ask(merchant) == target(merchant)
        assert (here.upstream.accepted, len(here.doubted)) == (4, 1)
        here.clock.now += DISTRUST_SECONDS
        for _ in range(3):
            assert await here.ask(2) == target(2)
        assert here.upstream.accepted == 5


async def test_an_answer_that_repeats_our_secret_is_none() -> None:
    async def script(_: str, writer: asyncio.StreamWriter) -> None:
        body = SHOWN.secret.reveal().encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    async with world(script) as here:
        with pytest.raises(MalformedAnswer) as caught:
            await here.ask(1)
        assert SHOWN.secret.reveal() not in str(caught.value)


async def test_one_whom_a_late_answer_did_reach_is_named_as_soon_as_its_own_comes() -> None:
    go = asyncio.Event()

    async def script(target: str, writer: asyncio.StreamWriter) -> None:
        if target.endswith("=2"):
            writer.write(answer("/of-another"))
            await go.wait()
        writer.write(answer(target))

    async with world(script) as here:
        await here.ask(1)
        here.clock.now += QUIET_SECONDS
        assert await here.ask(2) == "/of-another"  # nothing in it says so
        go.set()
        await until(lambda: bool(here.doubted))
        assert here.doubted == [(target(1), target(2))]


async def test_connections_are_kept_for_the_same_merchant_and_for_others_after_silence() -> None:
    async with world(plain) as here:
        for _ in range(5):
            await here.ask(1)
        for merchant in (2, 3, 4):
            here.clock.now += QUIET_SECONDS
            await here.ask(merchant)
        assert (here.upstream.accepted, here.doubted) == (1, [])
        await here.ask(5)
        assert here.upstream.accepted == 2


async def test_a_connection_ends_at_its_greatest_age_and_after_long_rest() -> None:
    async with world(plain) as here:
        for now, accepted in ((0, 1), (29, 1), (58, 1), (58 + MAX_IDLE_SECONDS, 2)):
            here.clock.now = now
            await here.ask(1)
            assert here.upstream.accepted == accepted
        here.clock.now += 1
        for _ in range(11):
            here.clock.now += 29
            await here.ask(1)
        assert here.upstream.accepted == 3


@pytest.mark.parametrize("how", ["close", "shutdown", "reset"])
async def test_a_connection_that_its_peer_closed_while_it_rested_is_not_lent(how: str) -> None:
    async with world(plain) as here:
        await here.ask(1)
        writer = here.upstream.writers[0]
        match how:
            case "close":
                writer.close()
            case "shutdown":
                writer.get_extra_info("socket").shutdown(SHUT_WR)
            case _:
                writer.transport.abort()
        if how != "shutdown":
            await writer.wait_closed()
        assert await here.ask(1) == target(1)
        assert (here.upstream.accepted, len(here.upstream.requests)) == (2, 2)


async def test_a_kept_connection_that_breaks_before_a_byte_came_may_be_repeated_and_no_other() -> None:
    async def script(target: str, writer: asyncio.StreamWriter) -> None:
        if target.endswith("=1"):
            writer.write(answer(target))
        elif target.endswith("=2"):
            writer.transport.abort()
        else:
            writer.write(answer(target)[:-1])
            writer.close()

    async with world(script) as here:
        await here.ask(1)
        here.clock.now += QUIET_SECONDS
        for merchant, is_repeatable in ((2, True), (2, False), (3, False)):
            with pytest.raises(Unreachable, match="broke") as caught:
                await here.ask(merchant)
            assert caught.value.is_repeatable == is_repeatable
        assert len(here.upstream.requests) == 4  # nothing was sent twice


BROKEN = {
    "two_lengths": (b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nokx", "length"),
    "length_and_chunks": (b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "length"),
    "a_sign": (b"Content-Length: +2\r\n\r\nok", "length"),
    "a_list": (b"Content-Length: 2, 2\r\n\r\nok", "length"),
    "a_negative_length": (b"Content-Length: -1\r\n\r\nok", "length"),
    "a_length_beyond_numbers": (b"Content-Length: 99999999999999999999999\r\n\r\nok", "length"),
    "a_folded_line": (b"X: a\r\n b\r\nContent-Length: 2\r\n\r\nok", "no HTTP"),
    "a_bare_line_feed": (b"X: a\nContent-Length: 2\r\n\r\nok", "no HTTP"),
    "no_colon": (b"nonsense\r\nContent-Length: 2\r\n\r\nok", "no HTTP"),
    "a_space_before_the_colon": (b"Content-Length : 2\r\n\r\nok", "no HTTP"),
    "a_bad_chunk": (b"Transfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n0\r\n\r\n", "chunks"),
    "a_coding": (b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "coding"),
    "long_headers": (b"X: " + b"x" * (MAX_HEAD_BYTES + 1) + b"\r\nContent-Length: 2\r\n\r\nok", "too long"),
}


@pytest.mark.parametrize(("rest", "reason"), BROKEN.values(), ids=BROKEN)
async def test_an_answer_whose_end_is_in_doubt_is_none(rest: bytes, reason: str) -> None:
    async def script(target: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + rest if target.endswith("=1") else answer(target))

    async with world(script) as here:
        with pytest.raises(Unreachable) as caught:
            await here.ask(1)
        assert reason in str(caught.value.reason)
        assert reason not in caught.value.detail
        here.clock.now += QUIET_SECONDS
        assert await here.ask(2) == target(2)
        assert here.upstream.accepted == 2


@pytest.mark.parametrize(
    "line", [b"HTTP/2.0 200 OK", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x", b"ICY 200 OK", b"hello"]
)
async def test_what_is_not_http_1_1_is_no_answer(line: bytes) -> None:
    async def script(_: str, writer: asyncio.StreamWriter) -> None:
        writer.write(line + b"\r\nContent-Length: 2\r\n\r\nok")

    async with world(script) as here:
        with pytest.raises(Unreachable, match="exchange failed"):
            await here.ask(1)


async def test_interim_answers_are_passed_over_within_the_bound_of_a_head() -> None:
    async def script(target: str, writer: asyncio.StreamWriter) -> None:
        early = b"HTTP/1.1 103 Early Hints\r\nContent-Length: 7\r\n\r\n"
        many = MAX_HEAD_BYTES // len(early) + 1 if target.endswith("=1") else 3
        writer.write(early * many + answer(target))

    async with world(script) as here:
        with pytest.raises(Unreachable):
            await here.ask(1)
        assert await here.ask(2) == target(2)


async def test_an_answer_may_come_byte_by_byte_and_end_with_its_connection() -> None:
    async def script(target: str, writer: asyncio.StreamWriter) -> None:
        whole = answer(target) if target.endswith("=1") else b"HTTP/1.1 200 OK\r\n\r\n" + body_of(target)
        for byte in whole:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        if not target.endswith("=1"):
            writer.close()

    async with world(script) as here:
        assert await here.ask(1) == target(1)
        here.clock.now += QUIET_SECONDS
        assert await here.ask(2) == target(2)
        here.clock.now += QUIET_SECONDS
        assert await here.ask(1) == target(1)
        assert here.upstream.accepted == 2


async def test_a_body_that_is_too_long_is_not_read_to_its_end() -> None:
    async def script(_: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async with world(script) as here:
        with pytest.raises(MalformedAnswer, match=str(MAX_BODY_BYTES)):
            await here.ask(1)


async def test_a_cancelled_exchange_leaves_its_answer_to_nobody() -> None:
    go = asyncio.Event()

    async def script(target: str, writer: asyncio.StreamWriter) -> None:
        if target.endswith("=1"):
            await go.wait()
        writer.write(answer(target))

    async with world(script) as here:
        asking = asyncio.create_task(here.ask(1))
        await until(lambda: len(here.upstream.requests) == 1)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        go.set()
        here.clock.now += QUIET_SECONDS
        assert await here.ask(2) == target(2)
        assert here.upstream.accepted == 2


async def test_only_so_many_connections_rest() -> None:
    async with world(plain) as here:
        await asyncio.gather(*(here.ask(merchant) for merchant in range(MAX_IDLE_CONNECTIONS + 20)))
        opened = here.upstream.accepted
        assert opened == MAX_IDLE_CONNECTIONS + 20
        here.clock.now += QUIET_SECONDS
        await asyncio.gather(*(here.ask(merchant) for merchant in range(MAX_IDLE_CONNECTIONS + 20)))
        assert here.upstream.accepted - opened == 20
