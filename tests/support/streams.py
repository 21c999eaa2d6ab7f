"""Streams, read in this process as a server's client would: event by event, also by readers that stop reading."""

import asyncio
import json
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote

from tests.support.raw_asgi import HOST, KEY, Headers

PATIENCE_SECONDS = 300


class Event:
    """One event of a stream."""

    def __init__(self, name: str, cursor: str | None, data: Any) -> None:
        self.name = name
        self.cursor = cursor
        self.data = data


class Reader:
    """A reader of one stream. While `blocks`, it takes nothing."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.events: list[Event] = []
        self.text = ""
        self.ended = False
        self.blocks = asyncio.Event()
        self.blocks.set()
        self._left = asyncio.Event()
        self._first = True
        self._buffer = ""
        self._news = asyncio.Condition()

    def leave(self) -> None:
        """Close the connection."""
        self._left.set()

    def stop(self) -> None:
        """Take nothing from now on."""
        self.blocks.clear()

    def go_on(self) -> None:
        """Take what comes again."""
        self.blocks.set()

    async def receive(self) -> MutableMapping[str, Any]:
        if self._first:
            self._first = False
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        await self.blocks.wait()
        async with self._news:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                self._take(message["body"].decode())
                self.ended = not message.get("more_body")
            self._news.notify_all()

    def named(self, name: str) -> list[Event]:
        """The events of a name so far."""
        return [event for event in self.events if event.name == name]

    def newest(self) -> dict[int, Any]:
        """The data of the last event of each account."""
        return {event.data["merchantId"]: event.data for event in self.named("balances")}

    async def until(self, name: str, count: int = 1) -> Event:
        """Wait until so many events of a name have come, and give the last of them."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._news:
            await self._news.wait_for(lambda: len(self.named(name)) >= count or self.ended)
        assert len(self.named(name)) >= count, self.text
        return self.named(name)[count - 1]

    def _take(self, text: str) -> None:
        self.text += text
        if not self.headers.get("content-type", "").startswith("text/event-stream"):
            return
        *blocks, self._buffer = (self._buffer + text).split("\n\n")
        for block in blocks:
            fields = dict(line.split(": ", 1) for line in block.split("\n"))
            self.events.append(Event(fields["event"], fields.get("id"), json.loads(fields["data"])))


@asynccontextmanager
async def open_stream(app: Any, target: str, headers: Headers = (KEY,), port: int = 4711) -> AsyncIterator[Reader]:
    """Open a stream with an ASGI application. It is left at the end, and must end then."""
    path, _, query = target.partition("?")
    reader = Reader()
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [HOST, *headers],
        "client": ("192.0.2.7", port),
        "server": ("tallygate.test", 80),
    }
    task = asyncio.create_task(app(scope, reader.receive, reader.send))
    try:
        yield reader
    finally:
        reader.leave()
        reader.go_on()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await task
