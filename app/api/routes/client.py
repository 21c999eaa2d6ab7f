"""Client files: what a web app imports from the gateway itself, so that both are of one version. They need no key."""

from importlib.resources import files
from typing import Final

from litestar import Response, Router, get
from msgspec import Struct

from app.api.rendering.conditional import etag_of_bytes, matches
from app.api.requests.headers import join_lines
from app.api.routes.guards import make_guard
from app.api.routes.litestar_quirks import AnyRequest

_SCRIPT: Final = "tallygate.js"
_TYPES: Final = "tallygate.d.ts"
_CHECKED_EACH_TIME: Final = "public, no-cache"
"""A browser may keep it, and asks each time whether it is still so (RFC 9111, 5.2.2.4)."""


class ClientFile(Struct, frozen=True):
    """A file of the client: its bytes, its media type, and the tag of the bytes."""

    body: bytes
    media_type: str
    etag: str

    @classmethod
    def read(cls, name: str, media_type: str) -> "ClientFile":
        """Read a file that came with the program."""
        body = files("app.api.client").joinpath(name).read_bytes()
        return cls(body, media_type, etag_of_bytes(body))

    def respond(self, request: AnyRequest) -> Response[bytes]:
        """Respond with the file, or with 304 if the request names its tag."""
        headers = {"ETag": self.etag, "Cache-Control": _CHECKED_EACH_TIME}
        if matches(join_lines(request.scope["headers"], b"if-none-match"), self.etag):
            return Response(b"", status_code=304, headers=headers)
        return Response(self.body, media_type=self.media_type, headers=headers)


def client_routes() -> Router:
    """Collect the paths of the client's files."""
    script = ClientFile.read(_SCRIPT, "text/javascript")
    types = ClientFile.read(_TYPES, "text/plain")

    @get(f"/client/{_SCRIPT}", include_in_schema=False, sync_to_thread=False)
    def get_script(request: AnyRequest) -> Response[bytes]:
        return script.respond(request)

    @get(f"/client/{_TYPES}", include_in_schema=False, sync_to_thread=False)
    def get_types(request: AnyRequest) -> Response[bytes]:
        return types.respond(request)

    return Router("/", route_handlers=[get_script, get_types], guards=[make_guard(None)])
