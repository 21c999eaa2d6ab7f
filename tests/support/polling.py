"""Ask until something holds of which nobody is told."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from httpx import Response

from tests.support.gateway import PATIENCE_SECONDS

Answer = TypeVar("Answer")

_REST_SECONDS = 0.02
"""Between two questions, so that those who are asked have the processor for what is waited for."""


async def ask_until(ask: Callable[[], Awaitable[Answer]], holds: Callable[[Answer], bool]) -> Answer:
    """Ask again and again, and give the first answer of which it holds."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds(answer := await ask()):  # noqa: ASYNC110
            await asyncio.sleep(_REST_SECONDS)
    return answer


def is_ok(response: Response) -> bool:
    """Tell whether an answer is a 200."""
    return response.status_code == 200
