"""Open-loop GETs at a steady rate to the published port, beside streams, and each one that failed."""

import asyncio
import time
from collections.abc import Callable

from tests.containers.watchers import HOST, KEY, PATIENCE_SECONDS, PORT, Watchers

PER_SECOND = 500
_REQUEST = f"GET /v1/merchants/12345/balances HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode()

Wire = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Load:
    """Send requests until `over`, on kept connections. A kept one that was closed at rest is opened again."""

    def __init__(self) -> None:
        self.sent = 0
        self.failures: list[str] = []
        self.slowest_seconds = 0.0
        self.over = False
        self._rest: list[Wire] = []

    async def run(self) -> None:
        began = time.monotonic()
        async with asyncio.TaskGroup() as requests:
            while not self.over:
                due = began + self.sent / PER_SECOND
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                requests.create_task(self._ask(due))
                self.sent += 1
        for _, writer in self._rest:
            writer.close()

    async def _ask(self, due: float) -> None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                kept = bool(self._rest)
                try:
                    answer = await self._exchange(*(self._rest.pop() if kept else await self._open()))
                except (asyncio.IncompleteReadError, ConnectionError):
                    if not kept:
                        raise
                    answer = await self._exchange(*await self._open())
            if not answer.startswith(b"http/1.1 200"):
                self.failures.append(answer.partition(b"\r\n\r\n")[2].decode())
        except (OSError, EOFError) as error:
            self.failures.append(repr(error))
        self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - due)

    async def _open(self) -> Wire:
        return await asyncio.open_connection(HOST, PORT)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(_REQUEST)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        body = await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0]))
        if b"connection: close" in head:
            writer.close()
        else:
            self._rest.append((reader, writer))
        return head + body


def load_during(disturb: Callable[[], None], calm_seconds: float) -> tuple[Load, Watchers]:
    """Load the service, and follow streams, while something happens in a thread, and for some seconds after."""

    async def run() -> tuple[Load, Watchers]:
        load, watchers = Load(), Watchers()
        await watchers.begin()
        loading = asyncio.create_task(load.run())
        await asyncio.sleep(1)
        try:
            await asyncio.to_thread(disturb)
            await asyncio.sleep(calm_seconds)
        finally:
            load.over = True
        await loading
        await watchers.end()
        return load, watchers

    return asyncio.run(run())
