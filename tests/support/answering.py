"""An application that answers callers of `app.ingress` as they ask, and what its like are made of."""

from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple

from app.ingress.application import Answer

Run = Callable[[Any, Any, Any], Awaitable[None]]


class Seen(NamedTuple):
    """A request as the application saw it. `way`: whether it was recalled, answered now, or run."""

    way: str
    method: str
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


class App:
    """An application that reads what it is sent, and answers 200 with the target. `runs` answers instead, one by one.

    GET and HEAD of targets below `/now` are answered immediately, and recalled by their bytes if `recalls`.
    """

    def __init__(self, *runs: Run, recalls: bool = True) -> None:
        self.seen: list[Seen] = []
        self.scopes: list[Any] = []
        self.offered: list[bytes | None] = []
        self.asked: list[bytes] = []
        self._runs = deque(runs)
        self._recalls = recalls
        self._known: dict[bytes, tuple[Seen, bytes]] = {}

    @property
    def targets(self) -> list[bytes]:
        return [each.target for each in self.seen]

    def recall(self, request: bytes) -> bytes | None:
        self.asked.append(request)
        if request not in self._known:
            return None
        seen, answer = self._known[request]
        self.seen.append(seen._replace(way="recalled"))
        return answer

    def answer_now(self, scope: Any, request: bytes | None) -> Answer | None:
        self.offered.append(request)
        if not (scope["raw_path"].startswith(b"/now") and scope["method"] in {"GET", "HEAD"}):
            return None
        seen = see(scope, b"", "now")
        self.seen.append(seen)
        body = b"" if seen.method == "HEAD" else seen.target
        length = (b"content-length", b"%d" % len(seen.target))
        if request is not None and self._recalls:
            self._known[request] = seen, b"HTTP/1.1 200 OK\r\n%b: %b\r\n\r\n%b" % (*length, body)
        return (
            {"type": "http.response.start", "status": 200, "headers": [length]},
            {"type": "http.response.body", "body": body, "more_body": False},
        )

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        if self._runs:
            self.seen.append(see(scope, b"", "run"))
            await self._runs.popleft()(scope, receive, send)
        else:
            self.seen.append(see(scope, await read_body(receive), "run"))
            await answer(send, self.seen[-1].target)


def see(scope: Any, body: bytes, way: str) -> Seen:
    query = scope["query_string"]
    target = scope["raw_path"] + (b"?" + query if query else b"")
    return Seen(way, scope["method"], target, tuple(scope["headers"]), body)


async def read_body(receive: Any) -> bytes:
    """Read a body, as far as it comes."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def start(send: Any, *headers: tuple[bytes, bytes], status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})


async def go_on(send: Any, body: bytes, *, more: bool = False) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def answer(send: Any, body: bytes, *, status: int = 200) -> None:
    """Answer with a body whose length is known."""
    await start(send, (b"content-length", b"%d" % len(body)), status=status)
    await go_on(send, body)


def header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """Give the value of a header, or None."""
    return next((value for each, value in headers if each == name), None)
