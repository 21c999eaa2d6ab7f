"""The face, put together: Litestar with our routes and errors, behind the edge."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from random import SystemRandom
from typing import Final

import structlog
from litestar import Litestar, Response
from litestar.di import Provide
from litestar.exceptions import (
    ClientException,
    HTTPException,
    MethodNotAllowedException,
    NotFoundException,
    SerializationException,
    ValidationException,
)

from app.access.callers import Callers
from app.access.failed_logins import Failures
from app.accounts import Desk
from app.api.middleware.audit import Audit
from app.api.middleware.cors import Browsers
from app.api.middleware.deadline import Deadline
from app.api.middleware.edge import Edge, refuse
from app.api.openapi.document import openapi_config
from app.api.reads.account_reads import ShortWay
from app.api.reads.hot_path import Front
from app.api.rendering.batch_fragments import Strips
from app.api.rendering.representations import Shelf
from app.api.requests.request_ids import RequestIds
from app.api.routes.accounts import answer_routes
from app.api.routes.exchange import AnyRequest, Asking, as_response, read_form
from app.api.routes.guards import Doorkeeper
from app.api.routes.paging import Pages
from app.api.routes.service import Look, service_routes
from app.cache.freshness import Policy
from app.errors import (
    BodyTooLarge,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    RequestError,
    TallygateError,
    UnknownPath,
)
from app.portfolio.portfolio import Portfolio
from app.resilience.draining import Drain
from app.telemetry.exposition import Scrape
from app.telemetry.metrics import Metrics
from app.telemetry.traces import Traces

SHEETS: Final = 50_000
SHEET_BYTES: Final = 128 * 1024 * 1024
STRIP_BYTES: Final = 64 * 1024 * 1024

log = structlog.get_logger()


def build_face(
    *,
    desk: Desk,
    portfolio: Portfolio,
    callers: Callers,
    failures: Failures,
    policy: Policy,
    look: Look,
    version: str,
    now_ms: Callable[[], int],
    metrics: Metrics | None = None,
    scrape: Scrape | None = None,
    drain: Drain | None = None,
    traces: Traces | None = None,
    audit: Audit | None = None,
    deadline_seconds: float = 30,
    origins: Collection[str] = (),
    lifespan: Sequence[Callable[[Litestar], AbstractAsyncContextManager[None]]] = (),
) -> Edge:
    """Build the ASGI application. `now_ms` is Unix time in milliseconds; without `scrape` it shows no metrics.

    Pages of `origins` may read answers. What takes longer than `deadline_seconds` ends with a problem.
    """
    metrics = metrics or Metrics()
    shelf = Shelf(SHEETS, SHEET_BYTES)
    strips = Strips(STRIP_BYTES)
    request_ids = RequestIds(SystemRandom().getrandbits)

    def make_asking(request: AnyRequest) -> Asking:
        return Asking(request, desk=desk, shelf=shelf, strips=strips, policy=policy, now_ms=now_ms)

    dependencies = {
        "asking": Provide(make_asking, sync_to_thread=False),
        "form": Provide(read_form, sync_to_thread=False),
        "portfolio": Provide(lambda: portfolio, sync_to_thread=False),
        "pages": Provide(lambda: Pages(portfolio.versions), sync_to_thread=False),
    }
    doorkeeper = Doorkeeper(callers, failures)
    app = Litestar(
        route_handlers=[
            *answer_routes(doorkeeper, dependencies),
            service_routes(look, scrape),
        ],
        exception_handlers={Exception: answer_error},
        openapi_config=openapi_config(version),
        lifespan=list(lifespan),
        logging_config=None,
    )
    short_way = ShortWay(
        app,
        callers=callers,
        doorkeeper=doorkeeper,
        desk=desk,
        shelf=shelf,
        policy=policy,
        blame=_classify,
        now_ms=now_ms,
    )
    return Edge(
        Deadline(short_way, deadline_seconds),
        metrics,
        drain or Drain(),
        request_ids,
        front=Front(
            callers=callers,
            desk=desk,
            shelf=shelf,
            policy=policy,
            metrics=metrics,
            request_ids=request_ids,
            now_ms=now_ms,
        ),
        audit=audit,
        browsers=Browsers(origins) if origins else None,
        traces=traces,
    )


def answer_error(request: AnyRequest, error: Exception) -> Response[bytes]:
    """Answer any error of any kind as a problem; one that nobody foresaw is logged with its trace, and no more said."""
    return as_response(refuse(_classify(error), request.scope))


_MISSING: Final = re.compile("Missing required query parameter ('[^']+')")


def _classify(error: Exception) -> TallygateError:
    match error:
        case TallygateError():
            return error
        case NotFoundException():
            return UnknownPath("Nothing is served at this path.")
        case MethodNotAllowedException(headers=headers):
            allow = (headers or {}).get("allow", "GET, OPTIONS")
            return MethodNotAllowed("The path does not take this method.", allow=allow)
        case HTTPException(status_code=status) if status < 500:  # noqa: PLR2004
            return _blame(error)
        case _:
            log.error("request.crashed", exc_info=error)
            return InternalError("Something went wrong here.")


def _blame(error: HTTPException) -> RequestError:
    """Say what is wrong with a request that the framework could not read."""
    match error:
        case ValidationException(extra=list(faults)):
            return InvalidRequest("; ".join(map(_describe, faults)))
        case ValidationException(detail=detail) if missing := _MISSING.search(detail):
            return InvalidRequest(f"The parameter {missing[1]} is missing.")
        case ClientException(__cause__=SerializationException()):
            return InvalidRequest("The body is no JSON.")
        case HTTPException(status_code=413):
            return BodyTooLarge("This body is too large.")
        case _:
            return InvalidRequest("The request cannot be read.")


def _describe(fault: Mapping[str, str]) -> str:
    """Say what is wrong where; what Litestar calls `data` is the body, and it says `'data'` where there is none."""
    if fault["message"] == "'data'":
        return "This wants a body."
    return f"{'body' if fault['key'] == 'data' else fault['key']}: {fault['message']}"
