"""Server of the peers in Python: Tallygate's own, with a task for each request and nothing else of Tallygate.

Run: python -m bench.peers.serve PORT MODULE:FACTORY
"""

import asyncio
import sys
from importlib import import_module
from typing import Any

import uvloop

from app.ingress.listener import Limits, Listener
from app.server.addresses import resolve
from app.server.lifespan import lifespan
from app.server.listening import bind


class Application:
    """An application that answers nothing before it has a task."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def recall(self, _: bytes) -> None:
        """Remember no answer."""

    def answer_now(self, _: Any, __: bytes | None) -> None:
        """Give no answer."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Speak ASGI."""
        await self._app(scope, receive, send)


async def serve(port: int, app: Any) -> None:
    """Serve until the process is ended."""
    listener = Listener(asyncio.get_running_loop(), Limits(connections=1000, head_seconds=3600))
    async with lifespan(app):
        listener.open(bind(resolve("127.0.0.1", port)), Application(app))
        await asyncio.Event().wait()


def main() -> None:
    """Serve the application that a factory makes."""
    port, factory = sys.argv[1:]
    module, name = factory.split(":")
    app = getattr(import_module(module), name)()
    uvloop.new_event_loop().run_until_complete(serve(int(port), app))


if __name__ == "__main__":
    main()
