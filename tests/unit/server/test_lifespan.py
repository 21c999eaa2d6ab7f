"""The lifespan of an application: it starts before its requests and ends after them, or says why not."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from app.server.lifespan import LifespanFailed, lifespan

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class App:
    """An application that responds to each message in turn with what `responses` has; an error is raised."""

    def __init__(self, *responses: str | Exception) -> None:
        self.responses = responses
        self.seen: list[str] = []

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        assert scope["type"] == "lifespan"
        for response in self.responses:
            self.seen.append((await receive())["type"])
            if isinstance(response, Exception):
                raise response
            await send({"type": f"lifespan.{response}"})
        self.seen.append("over")


async def test_an_application_starts_and_ends_around_what_is_served() -> None:
    app = App("startup.complete", "shutdown.complete")
    async with lifespan(app):
        assert app.seen == ["lifespan.startup"]
    assert app.seen == ["lifespan.startup", "lifespan.shutdown", "over"]


@pytest.mark.parametrize(
    ("responses", "error"),
    [
        ((OSError(),), OSError),
        (("startup.failed",), LifespanFailed),
        ((), LifespanFailed),
        (("startup.complete", KeyError()), KeyError),
        (("startup.complete", "shutdown.failed"), LifespanFailed),
        (("startup.complete",), LifespanFailed),
    ],
)
async def test_an_application_that_does_not_start_or_end_well_raises(responses: Any, error: type[Exception]) -> None:
    app, served = App(*responses), 0
    with pytest.raises(error):
        async with lifespan(app):
            served += 1
    assert served == ("startup.complete" in responses)


async def test_an_application_ends_well_where_serving_fails() -> None:
    app = App("startup.complete", "shutdown.complete")
    with pytest.raises(OSError, match="in use"):
        async with lifespan(app):
            raise OSError("in use")
    assert app.seen[-1] == "over"
