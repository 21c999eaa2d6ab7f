"""OpenAPI operation of the upstream's events: a body that is read after its signature, and what it is answered."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIType, Operation, Parameter, RequestBody, Schema
from msgspec import Meta, Struct

from app.api.openapi.document import problem_responses, service_responses

_SIGNATURE: Final = (
    "RSA-SHA256 (PKCS#1 v1.5) over the bytes of the body, in hex, by a key of `UPSTREAM_EVENT_KEYS_FILE`."
)
_BODY: Final = "An event of the upstream. What else it holds is not read; one that cannot be read is of the aggregate."


class EventTakenView(Struct, frozen=True, rename="camel"):
    """What acknowledges an event. The upstream wants these words."""

    callback_status: Annotated[Literal["SUCCESS"], Meta(description="The event is taken, or was known.")]


@dataclass
class TakesEvent(Operation):
    """An operation whose body is signed. Litestar documents only a body that it decodes itself."""

    def __post_init__(self) -> None:
        hexadecimal = Schema(type=OpenAPIType.STRING, pattern="^[0-9A-Fa-f]{512,1024}$")
        self.parameters = [
            Parameter(name="signature", param_in="header", required=True, schema=hexadecimal, description=_SIGNATURE)
        ]
        merchant = Schema(description="The merchant, as a number or as digits.")
        kind = Schema(type=OpenAPIType.STRING, description="A metric counts the events of a type.")
        event = Schema(type=OpenAPIType.OBJECT, properties={"merchantId": merchant, "eventType": kind})
        content = {"application/json": OpenAPIMediaType(schema=event)}
        self.request_body = RequestBody(content=content, description=_BODY)


def event_responses() -> Mapping[int, ResponseSpec]:
    """List the responses by status."""
    return {
        **service_responses(EventTakenView, "It is marked, and will be looked at."),
        **problem_responses({401, 408, 413, 429, 503, 504}),
    }
