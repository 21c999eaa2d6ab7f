"""Events of the sandbox: signed for each move, and late, twice, out of order, forged or none on demand."""

import asyncio
import base64
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from sandbox import Sandbox
from sandbox.events import KINDS, Delivery
from tests.support.polling import ask_until


class Receiver:
    """A program that events are sent to."""

    def __init__(self) -> None:
        self.url = ""
        self.taken: asyncio.Queue[tuple[bytes, str]] = asyncio.Queue()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:-2])
        self.taken.put_nowait((await reader.readexactly(int(fields["content-length"])), fields["signature"]))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async def next(self) -> tuple[dict[str, Any], bytes, str]:
        body, signature = await asyncio.wait_for(self.taken.get(), 10)
        return json.loads(body), body, signature


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    one = Receiver()
    server = await asyncio.start_server(one.take, "127.0.0.1", 0)
    one.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/events"
    yield one
    server.close()


@pytest.fixture
async def sending(receiver: Receiver) -> AsyncIterator[Sandbox]:
    async with Sandbox(merchants=3, delivery=Delivery(receiver.url)) as running:
        yield running


def answers(sandbox: Sandbox) -> Callable[[], Awaitable[Counter[int]]]:
    async def ask() -> Counter[int]:
        return sandbox.events.answers

    return ask


def is_signed(sandbox: Sandbox, body: bytes, signature: str) -> bool:
    key = load_der_public_key(base64.b64decode(sandbox.events.public_key))
    assert isinstance(key, RSAPublicKey)
    try:
        key.verify(bytes.fromhex(signature), body, PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True


async def test_each_move_sends_a_signed_event(sending: Sandbox, receiver: Receiver) -> None:
    ids = set()
    moves: list[Callable[[], object]] = [lambda: sending.world.move(10001), lambda: sending.world.set(10001, [])]
    for move in moves:
        move()
        event, body, signature = await receiver.next()
        assert (str(event["merchantId"]), event["eventType"] in KINDS) == ("10001", True)
        assert is_signed(sending, body, signature)
        ids.add(event["webhookId"])
    assert len(ids) == 2


@pytest.mark.parametrize("forged", ["signature", "body", "key"])
async def test_a_forged_event_is_not_signed(sending: Sandbox, receiver: Receiver, forged: Any) -> None:
    sending.events.delivery = Delivery(receiver.url, forged=forged)
    sending.world.move(10001)
    _, body, signature = await receiver.next()
    assert not is_signed(sending, body, signature)


async def test_events_come_twice_and_without_a_merchant_on_demand(sending: Sandbox, receiver: Receiver) -> None:
    sending.events.delivery = Delivery(receiver.url, copies=2, has_merchant=False)
    sending.world.move(10001)
    first, second = [await receiver.next() for _ in range(2)]
    assert first == second
    assert "merchantId" not in first[0]


async def test_late_events_come_out_of_order(sending: Sandbox, receiver: Receiver) -> None:
    sending.events.delivery = Delivery(receiver.url, delay_seconds=0.2)
    sending.world.move(10001)
    sending.events.delivery = Delivery(receiver.url)
    sending.world.move(10002)
    assert [str((await receiver.next())[0]["merchantId"]) for _ in range(2)] == ["10002", "10001"]


async def test_the_control_port_says_how_events_are_sent_and_sends_one(sending: Sandbox, receiver: Receiver) -> None:
    async with httpx.AsyncClient(base_url=sending.control_url, trust_env=False) as control:
        changed = await control.put("/events", json={"url": receiver.url, "hasMerchant": False})
        assert changed.status_code == 200
        assert (await control.post("/merchants/10001/event")).status_code == 200
        event, _, _ = await receiver.next()
        assert "merchantId" not in event
        await ask_until(answers(sending), lambda counts: counts[200] == 1)
        shown = (await control.get("/events")).json()
        assert (shown["publicKey"], shown["answers"]) == (sending.events.public_key, {"200": 1})
        assert (await control.put("/events", json={"copies": 0})).status_code == 400
        assert (await control.put("/events", json={})).status_code == 200
        await control.post("/merchants/10001/event")
        assert receiver.taken.empty()


async def test_nobody_who_takes_an_event_is_counted_too(sending: Sandbox) -> None:
    sending.events.delivery = Delivery("http://127.0.0.1:9/")
    sending.world.move()
    await ask_until(answers(sending), lambda counts: counts[0] == 1)


def test_the_public_key_is_a_line_of_a_file(tmp_path: Path) -> None:
    line = Sandbox(merchants=3).events.public_key
    assert isinstance(load_der_public_key(base64.b64decode(line)), RSAPublicKey)
    assert "\n" not in line
