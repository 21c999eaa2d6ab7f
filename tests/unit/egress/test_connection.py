"""A connection of the upstream's transport, over a pair of sockets."""

import asyncio
import gc
import socket

from httptools import HttpResponseParser

from app.egress.connection import Connection

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def _exchange() -> bytes:
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    with theirs:
        theirs.setblocking(False)
        _, connection = await loop.create_connection(lambda: Connection(lambda _: None), sock=ours)
        exchange = asyncio.create_task(connection.exchange("/", b"GET / HTTP/1.1\r\n\r\n", 100))
        await loop.sock_recv(theirs, 100)
        await loop.sock_sendall(theirs, ANSWER)
        answer = await exchange
        connection.close()
    return answer.body


def test_an_exchange_leaves_no_parser_to_the_garbage_collector() -> None:
    """What only the collector frees grows old in memory first, so each exchange would touch memory that is cold."""
    gc.collect()
    gc.disable()
    try:
        assert asyncio.run(_exchange()) == b"ok"
        assert not [one for one in gc.get_objects() if isinstance(one, HttpResponseParser)]
    finally:
        gc.enable()
