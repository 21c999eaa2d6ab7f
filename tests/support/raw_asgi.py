"""Requests as a server would hand them to the application, to the byte: what no client library would send."""

from collections.abc import Iterable, MutableMapping
from typing import Any, NamedTuple
from urllib.parse import unquote

import httpx

from tests.support.service import KEYS, Service

Headers = Iterable[tuple[bytes, bytes]]

HOST: tuple[bytes, bytes] = (b"host", b"tallygate.test")
KEY: tuple[bytes, bytes] = (b"authorization", f"Bearer {KEYS['all']}".encode())


async def ask_raw(service: Service, target: str | bytes, method: str = "GET", headers: Headers = ()) -> httpx.Response:
    """Ask with a request target and headers that nobody has mended; `headers` come after the key of `all`."""
    return await ask_app(app_of(service), target, method, [KEY, *headers])


def app_of(service: Service) -> Any:
    """Give the ASGI application that a service's clients speak to."""
    transport = service.anonymous._transport
    assert isinstance(transport, httpx.ASGITransport)
    return transport.app


async def ask_app(
    app: Any,
    target: str | bytes,
    method: str = "GET",
    headers: Headers = (),
    body: bytes = b"",
    *,
    hosts: Iterable[bytes] = (HOST[1],),
    http_version: str = "1.1",
) -> httpx.Response:
    """Ask an ASGI application as a server does that decodes the path and nothing else."""
    raw_path, _, query = (target.encode("latin-1") if isinstance(target, str) else target).partition(b"?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": http_version,
        "method": method,
        "scheme": "http",
        "path": unquote(raw_path.decode("latin-1")),
        "raw_path": raw_path,
        "query_string": query,
        "root_path": "",
        "headers": [*((b"host", host) for host in hosts), *headers],
        "client": ("192.0.2.7", 4711),
        "server": ("tallygate.test", 80),
    }
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return _collect(sent)


class _Start(NamedTuple):
    status: int
    headers: list[tuple[bytes, bytes]]


def _collect(sent: list[MutableMapping[str, Any]]) -> httpx.Response:
    """Put an answer together; there must be exactly one."""
    starts = [_Start(message["status"], message["headers"]) for message in sent if message["type"].endswith("start")]
    bodies = [message for message in sent if message["type"] == "http.response.body"]
    assert len(starts) == 1
    assert [bool(message.get("more_body")) for message in bodies] == [*[True] * (len(bodies) - 1), False]
    content = b"".join(message.get("body", b"") for message in bodies)
    return httpx.Response(starts[0].status, headers=starts[0].headers, content=content)
