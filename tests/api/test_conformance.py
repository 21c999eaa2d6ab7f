"""Conformance: requests made up from the OpenAPI document, right and wrong ones, are answered as the document says."""

from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.specs.openapi.schemas import OpenApiSchema

from tests.support.service import KEYS, Service

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

BALANCES = [
    "/v1/merchants/{merchantId}/balances",
    "/v1/merchants/{merchantId}/balances/{assetId}",
    "/v1/portfolio",
    "/v1/portfolio/merchants",
    "/v1/portfolio/assets/{assetId}",
    "/v1/portfolio/reconciliation",
    "/v1/portfolio/reconciliations/{reconciliationId}",
    "/v1/balances",
    "/v1/merchants",
    "/v2/assets/account/assets",
]
REQUESTS = [
    *(("GET", path, mode) for path in BALANCES for mode in GenerationMode),
    *(("POST", "/v1/balances", mode) for mode in GenerationMode),
    # there is nothing to get wrong where there is no parameter
    *(("GET", path, GenerationMode.POSITIVE) for path in ("/health/live", "/health/ready")),
]


EXAMPLES = {GenerationMode.POSITIVE: 10, GenerationMode.NEGATIVE: 25}
"""How many requests are made up: there are more ways to be wrong."""


def make_up(operation: Any, mode: GenerationMode) -> list[Case[Any]]:
    """Make up requests, always the same ones."""
    cases: list[Case[Any]] = []

    @settings(
        max_examples=EXAMPLES[mode],
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode))
    def collect(case: Case[Any]) -> None:
        cases.append(case)

    collect()
    return cases


async def send(client: httpx.AsyncClient, case: Case[Any]) -> httpx.Response:
    """Send a made-up request."""
    sent = case.as_transport_kwargs(base_url="http://tallygate.test")
    headers = {name: value for name, value in sent["headers"].items() if name.lower() != "authorization"}
    return await client.request(
        sent["method"],
        sent["url"],
        params=sent.get("params"),
        json=sent.get("json"),
        content=sent.get("data"),
        headers={**headers, "Authorization": f"Bearer {KEYS['all']}"},
    )


@pytest.fixture(scope="module")
async def document(calm: Service) -> OpenApiSchema:
    """The document, read once."""
    return schemathesis.openapi.from_dict((await calm.anonymous.get("/openapi.json")).json())


@pytest.mark.parametrize(("method", "path", "mode"), REQUESTS)
async def test_made_up_requests_are_answered_as_the_document_says(
    calm: Service, document: OpenApiSchema, method: str, path: str, mode: GenerationMode
) -> None:
    operation = document[path][method]
    checks = [*CHECKS, negative_data_rejection] if mode is GenerationMode.NEGATIVE else CHECKS
    for case in make_up(operation, mode):
        response = await send(calm.anonymous, case)
        # With require=complete, a merchant that does not exist is a 502 that the document names.
        incomplete = path == "/v1/balances" and response.status_code == 502
        # A list that is too long for a URI is refused as such, which Schemathesis does not count as a refusal.
        too_long = response.status_code == 414
        left_out = {not_a_server_error} if incomplete else {negative_data_rejection} if too_long else set()
        case.validate_response(response, checks=[each for each in checks if each not in left_out])
