"""The Python client against the document: each operation, each parameter and each field of its answers."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, get_type_hints

import httpx
import msgspec
import pytest
from tallygate_client import AsyncClient, models, past, problems, service
from tallygate_client.live import FeedOptions, WatchOptions
from tallygate_client.options import (
    AccountOptions,
    BatchOptions,
    BreakdownOptions,
    CallOptions,
    ChangesOptions,
    MerchantsOptions,
    PageOptions,
    PastOptions,
    PastPageOptions,
    QueryOptions,
    ReadOptions,
)

DOCUMENT = json.loads((Path(__file__).parents[2] / "clients/openapi.json").read_text())
OPERATIONS = {operation["operationId"]: operation for item in DOCUMENT["paths"].values() for operation in item.values()}
AT = "2026-11-25T17:00:00Z"
METHODS: dict[str, list[tuple[str, tuple[object, ...], type]]] = {
    "getMe": [("get_me", (), CallOptions)],
    "reportMoves": [("report_moves", ([1],), CallOptions)],
    "getMerchantBalances": [
        ("get_merchant_balances", (1,), AccountOptions),
        ("get_merchant_balances_at", (1, AT), PastOptions),
    ],
    "getAssetBalance": [("get_asset_balance", (1, "USDT"), ReadOptions)],
    "getPortfolio": [("get_portfolio", (), AccountOptions), ("get_portfolio_at", (AT,), PastOptions)],
    "getBalances": [("get_balances", ([1],), BatchOptions)],
    "queryBalances": [("query_balances", ([1],), QueryOptions)],
    "listMerchants": [("list_merchants", (), MerchantsOptions), ("each_merchant", (), MerchantsOptions)],
    "getBreakdown": [
        ("get_breakdown", (), BreakdownOptions),
        ("get_breakdown_at", (AT,), PastPageOptions),
        ("each_breakdown_page", (), BreakdownOptions),
    ],
    "getHolders": [("get_holders", ("USDT",), PageOptions), ("each_holders_page", ("USDT",), PageOptions)],
    "getLastReconciliation": [("get_last_reconciliation", (), CallOptions)],
    "getReconciliation": [("get_reconciliation", ("x",), CallOptions)],
    "startReconciliation": [("start_reconciliation", (), CallOptions)],
    "getMerchantChanges": [("get_merchant_changes", (1,), ChangesOptions)],
    "getPortfolioChanges": [("get_portfolio_changes", (), ChangesOptions)],
    "getUpstreamBalances": [("get_upstream_balances", (1,), ReadOptions)],
    "getLiveness": [("get_liveness", (), CallOptions)],
    "getReadiness": [("get_readiness", (), CallOptions)],
    "watch": [("watch", ("all",), WatchOptions)],
    "getChanges": [("changes", ("all",), FeedOptions)],
}
"""The methods of each operation, what they are called with, and their further options."""

VALUES: dict[str, object] = {
    "deadline_seconds": 5,
    "max_age": 1,
    "max_stale": True,
    "min_fresh": 1,
    "no_cache": True,
    "only_if_cached": True,
    "wait_seconds": 20,
    "assets": ["a,b"],
    "nonzero": True,
    "require_complete": True,
    "limit": 2,
    "after": "x",
    "sort": "id",
    "search": "1",
    "from_": AT,
    "until": AT,
    "portfolio": True,
    "within": 10,
}
NOT_OFFERED = {"format", "bom"}  # the clients read JSON: a table says nothing of its age to a program
BY_THEMSELVES = {"If-None-Match"}  # sent with the tag of the last answer, as `test_python_sending.py` tests
FROM_WATCH = {"after"}  # said by Last-Event-ID


def parameters(operation: dict[str, Any]) -> set[str]:
    """The names of what goes into the query and the headers of an operation."""
    given = operation.get("parameters", [])
    found = [
        DOCUMENT["components"]["parameters"][one["$ref"].split("/")[-1]] if "$ref" in one else one for one in given
    ]
    return {one["name"] for one in found if one["in"] in {"query", "header"}}


async def sent_by(name: str, arguments: tuple[object, ...], options: type) -> httpx.Request:
    """Call a method with all of its options, and return what it sends."""
    requests: list[httpx.Request] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(403, json={"type": "/problems/x", "title": "", "status": 403, "detail": ""})

    given = {option: VALUES[option] for option in get_type_hints(options)}
    if name == "each_merchant":
        given["max_age"] = 1
    async with httpx.AsyncClient(transport=httpx.MockTransport(refuse)) as http:
        found = getattr(AsyncClient("http://tallygate.test", http=http), name)(*arguments, **given)
        with pytest.raises(problems.ForbiddenError):
            await (anext(found) if isinstance(found, AsyncIterator) else found)
    (request,) = requests
    return request


def test_each_operation_of_the_document_has_methods() -> None:
    assert set(METHODS) == set(OPERATIONS)
    named = {name for methods in METHODS.values() for name, *_ in methods} | {"aclose"}
    assert named == {name for name in vars(AsyncClient) if not name.startswith("_")}


@pytest.mark.parametrize("operation", METHODS)
async def test_each_parameter_of_an_operation_can_be_given(operation: str) -> None:
    documented = parameters(OPERATIONS[operation]) - NOT_OFFERED - BY_THEMSELVES
    sent: set[str] = set()
    for method in METHODS[operation]:
        request = await sent_by(*method)
        headers = {"Cache-Control", "Prefer", "Last-Event-ID"} & {name.title() for name in request.headers} | (
            {"Last-Event-ID"} if "last-event-id" in request.headers else set()
        )
        sent |= set(request.url.params) | headers
    assert sent == documented - (FROM_WATCH if operation == "watch" else set())
    directives = (await sent_by(*METHODS[operation][0])).headers.get("cache-control")
    if "Cache-Control" in documented:
        assert directives == "max-age=1, max-stale, min-fresh=1, no-cache, only-if-cached"


STRUCTS: dict[str, type[msgspec.Struct]] = {
    **{name: getattr(models, name) for name in ("Account", "Anomaly", "Batch", "Coverage", "Holder", "Holders")},
    **{
        name: getattr(models, name)
        for name in ("Merchant", "Merchants", "MissingPart", "PartProblem", "Sweep", "Total")
    },
    **{name: getattr(past, name) for name in ("Between", "Change", "Changes", "Feed", "Past", "PastBreakdown")},
    **{name: getattr(past, name) for name in ("PastCoverage", "RowChange")},
    **{name: getattr(service, name) for name in ("Finding", "Me", "Moved", "Quota", "Reconciliation")},
    "Row": models.Balance,
    "UpstreamRow": models.Balance,
    "Asset": models.AssetBalance,
    "Amounts": models.Sums,
    "Sums": models.Sums,
    "UpstreamAccount": models.UpstreamAccount,
    "UpstreamEnvelope": models.Envelope,
    "KnownPart": models.FreshPart,
    "PastPart": past.SeenPart,
    "Readiness": service.Health,
    "Problem": problems.ProblemBody,
    "FailedPart": problems.FailedPart,
}
NO_STRUCTS = {"Alive", "BatchQuestion", "Breakdown", "Part", "PartialBreakdown", "WholeBreakdown"}
IN_STREAMS = {"sequence", "skipped"}  # parts of streams have them, too
IN_BATCHES = {"directoryAsOf", "directoryStale"}  # of views of all merchants, which share a struct with batches


def test_each_field_of_the_document_is_in_a_struct() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert set(STRUCTS) | NO_STRUCTS == {name for name, schema in schemas.items() if "enum" not in schema}
    for name, struct in STRUCTS.items():
        tag = struct.__struct_config__.tag_field
        fields = {*struct.__struct_encode_fields__, *([tag] if tag else [])}
        further = {"Batch": IN_BATCHES, "KnownPart": IN_STREAMS, "MissingPart": IN_STREAMS, "PastPart": set()}
        wanted = set(schemas[name]["properties"]) - ({"problem"} if name == "PastPart" else set())
        assert fields - further.get(name, set()) == wanted, name
    for name in ("WholeBreakdown", "PartialBreakdown"):
        assert set(schemas[name]["properties"]) <= set(models.Breakdown.__struct_encode_fields__)
