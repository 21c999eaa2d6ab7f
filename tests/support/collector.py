"""A collector of traces that keeps what it is sent, to the byte."""

import asyncio
import gzip
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@asynccontextmanager
async def collector() -> AsyncIterator[tuple[str, list[str]]]:
    """Listen while the context lasts; give where, and the requests with their bodies unpacked, as they come."""
    received: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        body = await reader.readexactly(int(length[1]) if length else 0)
        packed = re.search(rb"(?i)content-encoding: *gzip", head)
        received.append((head + (gzip.decompress(body) if packed else body)).decode("latin-1"))
        writer.write(_ANSWER)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listener:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}", received
