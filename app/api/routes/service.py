"""Service paths: health, metrics, the OpenAPI document, pages for people. They need no key."""

from collections.abc import Awaitable, Callable
from functools import cache
from typing import Annotated, Final, Literal

from litestar import Litestar, MediaType, Response, Router, get
from litestar.di import NamedDependency, Provide
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath
from msgspec import UNSET, Meta, Struct, UnsetType, json

from app.api.openapi import html as pages
from app.api.openapi.completion import complete
from app.api.openapi.document import service_responses
from app.api.problem_kinds import PROBLEMS
from app.api.routes.guards import make_guard
from app.api.routes.litestar_quirks import AnyRequest
from app.errors import UnknownPath
from app.telemetry.exposition import Scrape
from app.upstream.token_source import TokenState


class Alive(Struct, frozen=True):
    """The service's loop turns."""

    status: Literal["alive"] = "alive"


class Readiness(Struct, frozen=True, rename="camel"):
    """Whether requests should be sent here, and what it depends on. Redis away is no reason not to."""

    status: Literal["ready", "not ready", "draining"]
    callers: int
    token: TokenState
    redis: Literal["available", "unavailable"]
    token_seconds_left: Annotated[int, Meta(ge=0, description="Of the token, where that is known.")] | UnsetType = UNSET
    reason: Annotated[str, Meta(description="Why the token is refused.")] | UnsetType = UNSET


ReadinessProbe = Callable[[], Awaitable[Readiness]]
"""Reads the state of the service."""

Write = Callable[[Litestar], bytes]
"""Renders the document of an application."""


@get(
    "/health/live",
    operation_id="getLiveness",
    summary="Is it alive?",
    responses=service_responses(Alive, "It is."),
    sync_to_thread=False,
)
def get_liveness() -> Alive:
    """Answer, which is what it takes to be alive."""
    return Alive()


@get(
    "/health/ready",
    operation_id="getReadiness",
    summary="May it be sent requests?",
    responses={
        **service_responses(Readiness, "It may."),
        503: ResponseSpec(Readiness, generate_examples=False, description="It may not."),
    },
)
async def get_readiness(look: NamedDependency[ReadinessProbe]) -> Response[Readiness]:
    """Report whether requests can be answered, with 503 if not."""
    readiness = await look()
    return Response(readiness, status_code=200 if readiness.status == "ready" else 503)


@get("/metrics", include_in_schema=False, sync_to_thread=False)
def get_metrics(request: AnyRequest, scrape: NamedDependency[Scrape]) -> Response[bytes]:
    """Return the metrics as Prometheus reads them."""
    page = scrape(request.headers.get("accept", ""))
    return Response(page.body, media_type=page.content_type)


@get("/openapi.json", include_in_schema=False, sync_to_thread=False)
def get_document(request: AnyRequest, write_document: NamedDependency[Write]) -> Response[bytes]:
    """Return the OpenAPI document."""
    return Response(write_document(request.app), media_type=MediaType.JSON)


@get("/docs", include_in_schema=False, sync_to_thread=False)
def get_docs(request: AnyRequest, write_docs: NamedDependency[Write]) -> Response[bytes]:
    """Return the OpenAPI document as a page."""
    return _html(write_docs(request.app))


@get("/problems", include_in_schema=False, sync_to_thread=False)
def list_problems() -> Response[bytes]:
    """Return the list of the kinds of problems."""
    return _html(pages.render_problem_index(PROBLEMS.values()).encode())


@get("/problems/{name:str}", include_in_schema=False, sync_to_thread=False)
def explain_problem(name: FromPath[str]) -> Response[bytes]:
    """Return the page of a kind of problem."""
    for kind in PROBLEMS.values():
        if kind.name == name:
            return _html(pages.render_problem_kind(kind).encode())
    raise UnknownPath("There is no such kind of problem.")


SERVICE: Final = (get_liveness, get_readiness, get_document, get_docs, list_problems, explain_problem)


def service_routes(look: ReadinessProbe, scrape: Scrape | None) -> Router:
    """Collect the service's own paths, with `/metrics` if there is something to scrape."""
    # written once, since that takes up to a tenth of a second, and needs no key
    write_document = cache(lambda app: json.encode(complete(app.openapi_schema.to_schema())))
    write_docs = cache(lambda app: pages.render_docs(complete(app.openapi_schema.to_schema())).encode())
    return Router(
        "/",
        route_handlers=SERVICE if scrape is None else (*SERVICE, get_metrics),
        guards=[make_guard(None)],
        dependencies={
            "look": Provide(lambda: look, sync_to_thread=False),
            "scrape": Provide(lambda: scrape, sync_to_thread=False),
            "write_document": Provide(lambda: write_document, sync_to_thread=False),
            "write_docs": Provide(lambda: write_docs, sync_to_thread=False),
        },
        tags=["Service"],
    )


def _html(page: bytes) -> Response[bytes]:
    headers = {"Content-Security-Policy": pages.CONTENT_SECURITY_POLICY}
    return Response(page, media_type=MediaType.HTML, headers=headers)
