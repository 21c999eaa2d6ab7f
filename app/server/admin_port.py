"""The admin port, answered by the parent process, so that callers' connections cannot keep probes and scrapes out."""

import errno
import gzip
import re
import sys
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from threading import Thread
from typing import Any, Final

import structlog

from app.server.addresses import resolve
from app.telemetry.exposition import Page, Scrape

_IDLE_SECONDS: Final = 5.0
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_EXHAUSTED_PAUSE_SECONDS: Final = 0.1
_BACKLOG: Final = 1024
_NOT_FOUND: Final = Page("text/plain; charset=utf-8", b"There is nothing here.\n", 404)
_REFUSED: Final = re.compile(r"\s*q=0(\.0*)?\s*")
_MIN_GZIP_BYTES: Final = 1024

log = structlog.get_logger()


class AdminServer(ThreadingTCPServer):
    """A server of `pages` by their paths, for GET and HEAD. It closes a connection that is silent for `idle_seconds`.

    Each connection has its thread, so that none waits for another. Raises `OSError` if the address cannot be bound.
    """

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = _BACKLOG

    def __init__(
        self,
        host: str,
        port: int,
        pages: Mapping[str, Scrape],
        idle_seconds: float = _IDLE_SECONDS,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._pause: Final = pause
        self.pages: Final = pages
        self.idle_seconds: Final = idle_seconds
        self.address_family, place = resolve(host, port)
        super().__init__(place, _Handler)

    def open(self) -> None:
        """Answer in a thread, as long as the process lives."""
        Thread(target=self.serve_forever, name="admin-port", daemon=True).start()

    def get_request(self) -> Any:
        """Accept a connection. Without a free descriptor, pause: the listening socket stays readable."""
        try:
            return super().get_request()
        except OSError as error:
            if error.errno in _EXHAUSTED:
                self._pause(_EXHAUSTED_PAUSE_SECONDS)
            raise

    def handle_error(self, *_: Any) -> None:
        """Log an unexpected error. A client that goes away is none."""
        if not isinstance(error := sys.exception(), OSError):
            log.error("probes.crashed", exc_info=error)


class _Handler(BaseHTTPRequestHandler):
    server: AdminServer

    def setup(self) -> None:
        """Bound each wait for the client."""
        super().setup()
        self.connection.settimeout(self.server.idle_seconds)

    def do_GET(self) -> None:
        """Answer with the page, compressed if the client accepts that."""
        render = self.server.pages.get(self.path.partition("?")[0])
        page = _NOT_FOUND if render is None else render(self.headers.get("Accept", ""))
        is_gzip = len(page.body) >= _MIN_GZIP_BYTES and _accepts_gzip(self.headers.get("Accept-Encoding", ""))
        body = gzip.compress(page.body) if is_gzip else page.body
        self.send_response(page.status)
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(body)))
        if is_gzip:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815  # the name that http.server looks for

    def version_string(self) -> str:
        """Name the product and no version."""
        return "tallygate"

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def _accepts_gzip(accepted: str) -> bool:
    codings = {name.strip(): weight for name, _, weight in (one.partition(";") for one in accepted.lower().split(","))}
    return "gzip" in codings and _REFUSED.fullmatch(codings["gzip"]) is None
