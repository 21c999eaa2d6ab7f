"""A port apart, answered by a process that does nothing else: who asks there gets through, whatever callers do."""

import gzip
import re
import socket
import sys
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from threading import Thread
from typing import Any, Final

import structlog

from app.telemetry.exposition import Page, Scrape

_PATIENCE_SECONDS: Final = 5.0
_WAITING: Final = 1024
_NOWHERE: Final = Page("text/plain; charset=utf-8", b"There is nothing here.\n", 404)
_NEVER: Final = re.compile(r"\s*q=0(\.0*)?\s*")
_WORTH_PACKING_BYTES: Final = 1024

log = structlog.get_logger()


class AdminServer(ThreadingTCPServer):
    """Answer GET and HEAD with `pages`, by their paths; a client that keeps silent for `patience_seconds` is left.

    Each connection has a thread, so that none waits for another. Raises `OSError` if the address cannot be bound.
    """

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = _WAITING

    def __init__(
        self, host: str, port: int, pages: Mapping[str, Scrape], patience_seconds: float = _PATIENCE_SECONDS
    ) -> None:
        self.pages: Final = pages
        self.patience_seconds: Final = patience_seconds
        self.address_family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        super().__init__(address, _Answering)  # type: ignore[arg-type]  # an address of IPv6 has four parts

    def open(self) -> None:
        """Answer in a thread that lasts as long as the process."""
        Thread(target=self.serve_forever, name="side-door", daemon=True).start()

    def handle_error(self, *_: Any) -> None:
        """Tell of what nobody foresaw. A client that goes away is nobody's fault."""
        if not isinstance(error := sys.exception(), OSError):
            log.error("probes.crashed", exc_info=error)


class _Answering(BaseHTTPRequestHandler):
    server: AdminServer

    def setup(self) -> None:
        """Wait no longer than the door's patience, each time."""
        super().setup()
        self.connection.settimeout(self.server.patience_seconds)

    def do_GET(self) -> None:
        """Answer with the page, packed if that is taken."""
        give = self.server.pages.get(self.path.partition("?")[0])
        page = _NOWHERE if give is None else give(self.headers.get("Accept", ""))
        packs = len(page.body) >= _WORTH_PACKING_BYTES and _takes_gzip(self.headers.get("Accept-Encoding", ""))
        body = gzip.compress(page.body) if packs else page.body
        self.send_response(page.status)
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(body)))
        if packs:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815  # the name that http.server looks for

    def version_string(self) -> str:
        """Say no more than who answers."""
        return "tallygate"

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def _takes_gzip(accepted: str) -> bool:
    codings = {name.strip(): weight for name, _, weight in (one.partition(";") for one in accepted.lower().split(","))}
    return "gzip" in codings and _NEVER.fullmatch(codings["gzip"]) is None
