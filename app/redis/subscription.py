"""Subscription to a channel of one server: messages are passed on as they come, without redis-py's pub/sub objects."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import InvalidResponse

from app.redis.pipe import NOTHING, make_reader, pack_command
from app.redis.pool import WRITER


class Subscription(asyncio.Protocol):
    """Take over a connection that redis-py has opened, with its TLS, login and database, and subscribe to a channel.

    `on_subscribed` is called when the server confirms, `on_message` with the data of each message. What they raise ends
    the subscription, as a loss does, and `listen` raises it.
    """

    def __init__(
        self,
        client: Any,
        connection: Any,
        channel: str,
        on_subscribed: Callable[[], None],
        on_message: Callable[[Any], None],
    ) -> None:
        self._client: Final = client
        self._connection: Final = connection
        self._on_subscribed: Final = on_subscribed
        self._on_message: Final = on_message
        self._reader: Final = make_reader()
        self._ended: Final[asyncio.Future[None]] = asyncio.get_running_loop().create_future()
        self._heard = False
        self._transport: Final = getattr(connection, WRITER).transport
        self._former: Final = self._transport.get_protocol()
        self._transport.set_protocol(self)
        self._transport.write(pack_command("SUBSCRIBE", channel))

    async def listen(self, seconds: float) -> None:
        """Listen for so long, and ping a server that was silent. May be cancelled.

        Raises `TimeoutError` if the ping is not answered within that time, or why the subscription ended.
        """
        self._heard = False
        await asyncio.wait([self._ended], timeout=seconds)
        if not self._ended.done() and not self._heard:
            self._transport.write(pack_command("PING"))
            await asyncio.wait([self._ended], timeout=seconds)
            if not self._heard:
                self._end(TimeoutError())
        if self._ended.done():
            self._ended.result()

    async def release(self) -> None:
        """Close the connection, and give it back to redis-py's pool."""
        self._end(NoConnection("the subscription is closed"))
        self._ended.exception()  # it was raised, or nobody listens
        await self._connection.disconnect(nowait=True)
        await self._client.connection_pool.release(self._connection)

    def data_received(self, data: bytes) -> None:
        """Pass on the messages in `data`."""
        self._heard = True
        try:
            self._reader.feed(data)
            while not self._ended.done() and (answer := self._reader.gets()) is not NOTHING:
                self._on_answer(answer)
        except BaseException as error:
            if not isinstance(error, Exception):
                raise
            self._end(error)

    def connection_lost(self, error: Exception | None) -> None:
        """End the subscription. redis-py waits for its own protocol to learn of the end."""
        self._end(NoConnection("the connection was lost"))
        self._former.connection_lost(error)

    def _on_answer(self, answer: Any) -> None:
        match answer:
            case [b"message", _, data]:
                self._on_message(data)
            case [b"subscribe", _, _]:
                self._on_subscribed()
            case [b"pong", _]:
                pass
            case Exception():
                raise answer
            case _:
                raise InvalidResponse("an answer that no subscription has")

    def _end(self, error: Exception) -> None:
        if not self._ended.done():
            self._transport.abort()
            self._ended.set_exception(error)


async def open_subscription(
    client: Any, channel: str, on_subscribed: Callable[[], None], on_message: Callable[[Any], None]
) -> Subscription:
    """Subscribe by a connection of the client's pool. Raises what redis-py raises."""
    connection = await client.connection_pool.get_connection()
    return Subscription(client, connection, channel, on_subscribed, on_message)
