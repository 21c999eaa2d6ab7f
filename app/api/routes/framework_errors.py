"""Framework errors: the exceptions of Litestar 2.25 as errors of our own tree."""

import re
from collections.abc import Mapping
from typing import Final

from litestar import Response, exceptions

from app.api.context import render_refusal
from app.api.routes.exchange import as_response
from app.api.routes.litestar_quirks import AnyRequest
from app.errors import BodyTooLarge, InvalidRequest, MethodNotAllowed, RequestError, UnknownPath

_MISSING: Final = re.compile("Missing required query parameter ('[^']+')")


def respond_with_problem(request: AnyRequest, error: Exception) -> Response[bytes]:
    """Respond to any error with a problem."""
    return as_response(render_refusal(translate_error(error), request.scope))


def translate_error(error: Exception) -> Exception:
    """Translate Litestar's refusals of a request. Any other error is returned as it is."""
    match error:
        case exceptions.NotFoundException():
            return UnknownPath("Nothing is served at this path.")
        case exceptions.MethodNotAllowedException(headers=headers):
            allow = (headers or {}).get("allow", "GET, OPTIONS")
            return MethodNotAllowed("The path does not take this method.", allow=allow)
        case exceptions.HTTPException(status_code=status) if status < 500:  # noqa: PLR2004
            return _translate_http_error(error)
        case _:
            return error


def _translate_http_error(error: exceptions.HTTPException) -> RequestError:
    match error:
        case exceptions.ValidationException(extra=list(faults)):
            return InvalidRequest("; ".join(map(_describe_fault, faults)))
        case exceptions.ValidationException(detail=detail) if missing := _MISSING.search(detail):
            return InvalidRequest(f"The parameter {missing[1]} is missing.")
        case exceptions.ClientException(__cause__=exceptions.SerializationException()):
            return InvalidRequest("The body is no JSON.")
        case exceptions.HTTPException(status_code=413):
            return BodyTooLarge("This body is too large.")
        case _:
            return InvalidRequest("The request cannot be read.")


def _describe_fault(fault: Mapping[str, str]) -> str:
    """Describe a fault of one value. Litestar calls the body `data`, and a missing body `'data'`."""
    if fault["message"] == "'data'":
        return "This wants a body."
    return f"{'body' if fault['key'] == 'data' else fault['key']}: {fault['message']}"
