"""Work-arounds for Litestar 2.25. Those for its errors are in `framework_errors`."""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

from litestar import Request, Response, Router, route
from litestar.enums import HttpMethod
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.plugins import OpenAPIRenderPlugin

from app.decoding import Undecodable, decode_json
from app.errors import InvalidRequest

AnyRequest = Request[Any, Any, Any]


def before_parsing(
    respond: Callable[[AnyRequest], Awaitable[Response[bytes]]],
) -> Callable[[AnyRequest], Awaitable[Response[bytes] | None]]:
    """Make a `before_request` hook that responds instead of the handlers, and leaves OPTIONS to Litestar.

    Litestar reads parameters before a handler runs, and would refuse a missing one before the caller is known. The
    OPTIONS handler that Litestar adds inherits the hook.
    """

    async def before_request(request: AnyRequest) -> Response[bytes] | None:
        return None if request.method == HttpMethod.OPTIONS else await respond(request)

    return before_request


def options_handlers(handlers: Iterable[HTTPRouteHandler]) -> Iterator[HTTPRouteHandler]:
    """Make OPTIONS handlers for paths that several handlers share: Litestar's own one names the methods of the first."""
    methods: dict[str, list[str]] = {}
    for handler in handlers:
        for path in handler.paths:
            methods.setdefault(path, []).extend(handler.http_methods)
    for path, names in methods.items():
        if len(names) > 1:
            yield _options_handler(path, ", ".join(sorted([*names, HttpMethod.OPTIONS])))


def _options_handler(path: str, allow: str) -> HTTPRouteHandler:
    @route(path, http_method=HttpMethod.OPTIONS, status_code=204, include_in_schema=False, sync_to_thread=False)
    def list_methods() -> Response[None]:
        return Response(None, headers={"Allow": allow})

    return list_methods


class JsonRequest(Request[Any, Any, Any]):
    """A request whose body is decoded by us: Litestar answers 500 to bad UTF-8 and to deep nesting."""

    async def json(self) -> Any:
        """Decode the body. Raises `InvalidRequest`."""
        try:
            return decode_json(await self.body() or b"null", object)
        except Undecodable:
            raise InvalidRequest("The body is no JSON.") from None


class NoDocumentPages(OpenAPIRenderPlugin):
    """Remove the paths that Litestar adds for the OpenAPI document: its pages load scripts from elsewhere."""

    def render(self, request: AnyRequest, openapi_schema: dict[str, Any]) -> bytes:
        """Raise: no path leads here."""
        raise NotImplementedError

    def receive_router(self, router: Router) -> None:
        """Leave the router without routes."""
        router.routes.clear()
