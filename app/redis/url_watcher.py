"""Rotation of the Redis URL: its file is watched, and a new URL is used once it works."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from app.errors import StartError
from app.redis.client import RedisClient
from app.redis.replacement import Connect
from app.secret import Secret

_CHECK_SECONDS: Final = 0.5


class RedisUrlWatcher:
    """Check the file of the URL twice a second, by its content: Kubernetes replaces mounted files behind a link.

    `read` returns its content or raises `StartError`. Connections use a new URL as soon as one with it works. Until
    then the old ones stay, and what is wrong is logged, once a content.
    """

    def __init__(
        self,
        first: Secret,
        read: Callable[[], Awaitable[Secret]],
        connect: Callable[[Secret], Connect],
        redis_client: RedisClient,
    ) -> None:
        self._current = first
        self._read: Final = read
        self._connect: Final = connect
        self._redis_client: Final = redis_client
        self._reported: tuple[Secret | None, str] | None = None

    async def keep_watching(self) -> None:
        """Watch until cancelled."""
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            await self.check_once()

    async def check_once(self) -> None:
        """Use a URL that is new, if it works."""
        try:
            url = await self._read()
        except StartError as error:
            self._report(None, error.detail)
            return
        if self._current.matches(url):
            self._reported = None
            return
        try:
            trouble = await self._redis_client.switch(self._connect(url))
        except ValueError as error:
            self._report(url, f"{error}.")
            return
        if trouble is not None:
            self._report(url, f"Redis does not answer there: {type(trouble).__name__}.")
            return
        self._current, self._reported = url, None
        self._redis_client.log.info("redis.url_changed")

    def _report(self, url: Secret | None, detail: str) -> None:
        """Log what is wrong with the file unless that was logged for the same content."""
        if self._reported is not None and self._reported[1] == detail and _is_same(self._reported[0], url):
            return
        self._reported = url, detail
        self._redis_client.log.warning("redis.url_unusable", detail=detail)


def _is_same(one: Secret | None, other: Secret | None) -> bool:
    return one is None and other is None if one is None or other is None else one.matches(other)
