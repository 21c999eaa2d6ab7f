"""The OpenAPI document and the service say the same: paths, parameters, statuses, bodies."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from app.api.openapi.completion import resolve
from tests.support.apps import served_paths
from tests.support.service import Service

PATHS = {
    "/v1/merchants/{merchantId}/balances",
    "/v1/merchants/{merchantId}/balances/{assetId}",
    "/v1/portfolio",
    "/v1/portfolio/merchants",
    "/v1/portfolio/assets/{assetId}",
    "/v1/portfolio/reconciliation",
    "/v1/portfolio/reconciliations/{reconciliationId}",
    "/v1/balances",
    "/v1/merchants",
    "/v1/watch",
    "/v1/merchants/{merchantId}/changes",
    "/v1/portfolio/changes",
    "/v1/changes",
    "/v1/me",
    "/v2/assets/account/assets",
    "/health/live",
    "/health/ready",
}
POSTED = {"/v1/moved"}
"""Paths without a GET."""

UNDOCUMENTED = {
    *("/openapi.json", "/docs", "/metrics", "/problems", "/problems/{name}"),
    *("/client/tallygate.js", "/client/tallygate.d.ts"),
}
"""Pages about the service, for people and for who reads the document."""


@pytest.fixture
async def document(calm: Service) -> Any:
    response = await calm.anonymous.get("/openapi.json")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    return response.json()


def parameters(document: Any, path: str, place: str) -> set[str]:
    found = [resolve(document, one) for one in document["paths"][path]["get"].get("parameters", ())]
    return {parameter["name"] for parameter in found if parameter["in"] == place}


def walk(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from walk(child)


async def test_the_document_has_every_path_and_every_path_is_in_it(document: Any) -> None:
    assert set(document["paths"]) == PATHS | POSTED
    assert await served_paths() == PATHS | POSTED | UNDOCUMENTED


@pytest.mark.parametrize("path", sorted(PATHS))
async def test_the_document_has_the_parameters_of_the_path_and_headers_that_are_heeded(
    document: Any, path: str
) -> None:
    assert parameters(document, path, "path") == set(re.findall(r"{(\w+)}", path))
    assert not parameters(document, path, "cookie")
    heeded = {"Cache-Control", "If-None-Match", "Prefer"}
    if path.startswith("/health") or path == "/v1/me":
        heeded = set()
    elif path == "/v1/watch":
        heeded = {"Last-Event-ID"}
    elif path.endswith("/changes"):
        heeded = {"Prefer"} if path == "/v1/changes" else set()
    elif path == "/v1/merchants" or "reconciliation" in path:
        heeded = {"If-None-Match"}
    assert parameters(document, path, "header") == heeded


@pytest.mark.parametrize("path", sorted(PATHS))
async def test_a_parameter_is_taken_exactly_where_the_document_has_it(calm: Service, document: Any, path: str) -> None:
    concrete = path.format(merchantId=12345, assetId="BTC", reconciliationId="x")
    known = {name for each in PATHS for name in parameters(document, each, "query")}
    assert {"assets", "format", "sort"} < known
    for name in sorted(known | {"asset", "page"}):
        response = await calm.get(f"{concrete}?{name}=x")
        detail = response.json().get("detail", "")
        unknown = "There is no parameter" in detail or (path.startswith("/v2") and name != "merchantId")
        assert unknown is (name not in parameters(document, path, "query"))


@pytest.mark.parametrize("path", sorted(PATHS))
async def test_every_answer_that_a_path_can_give_is_documented(document: Any, path: str) -> None:
    answers = document["paths"][path]["get"]["responses"]
    error = "application/json" if path.startswith("/v2") else "application/problem+json"
    if path.startswith("/health"):
        # an unknown parameter, a URI or headers too long, a crash
        assert {"200", "400", "414", "431", "500"} <= set(answers)
    else:
        # a list has a part for a merchant that there is not
        statuses = {"200", "304", "400", "401", "403", "404", "414", "429", "431", "500", "502", "503", "504"}
        statuses -= {"404"} if path in {"/v1/balances", "/v1/merchants"} else set()
        statuses -= {"304"} if path.endswith("/changes") else set()
        statuses -= {"304", "404"} if path == "/v1/watch" else set()
        is_of_a_version = "after" in parameters(document, path, "query") and path not in {"/v1/merchants", "/v1/watch"}
        is_past = "at" in parameters(document, path, "query")
        statuses -= {"304", "403", "404", "502"} if path == "/v1/me" else set()
        statuses |= {"410"} if is_of_a_version or is_past else set()
        assert statuses == set(answers)
    if path == "/health/ready":
        assert (
            answers["503"]["content"]["application/json"]["schema"]
            == answers["200"]["content"]["application/json"]["schema"]
        )
    for status, answer in answers.items():
        if status != "503" and status >= "400":
            assert set(resolve(document, answer)["content"]) == {error}


@pytest.mark.parametrize("path", sorted(PATHS))
async def test_the_formats_of_a_path_are_documented(document: Any, path: str) -> None:
    if path == "/v1/watch":
        types = document["paths"][path]["get"]["responses"]["200"]["content"]
        assert set(types) == {"text/event-stream", "application/jsonl", "text/plain"}
        return
    one_format_only = path.startswith(("/v2", "/health")) or path.endswith("/me")
    every = [resolve(document, one) for one in document["paths"][path]["get"].get("parameters", ())]
    named = [each for each in every if each["name"] == "format"]
    assert [each["schema"]["enum"] for each in named] == [[], [["json", "csv", "text"]]][not one_format_only]
    for item in document["paths"][path].values():
        for status, answer in item["responses"].items():
            wanted = {"application/json"} | (set() if one_format_only else {"text/csv", "text/plain"})
            assert status != "200" or set(answer["content"]) == wanted


async def test_balance_paths_want_a_key_either_way_and_no_other_path_does(document: Any) -> None:
    for path in PATHS:
        item = document["paths"][path]
        either: Any = [{"bearer": []}, {"token": []}]
        assert item["get"].get("security") == ([] if path.startswith("/health") else either)
    schemes = document["components"]["securitySchemes"]
    assert (schemes["bearer"]["type"], schemes["bearer"]["scheme"]) == ("http", "bearer")
    assert (schemes["token"]["type"], schemes["token"]["in"], schemes["token"]["name"]) == (
        "apiKey",
        "header",
        "X-BH-TOKEN",
    )


async def test_every_pattern_is_one_that_any_reader_of_json_schema_understands(document: Any) -> None:
    patterns = [node["pattern"] for node in walk(document) if isinstance(node.get("pattern"), str)]
    assert patterns
    # anchors of ECMA 262, which is what JSON Schema wants (2020-12, 6.4), not of Python
    assert not [pattern for pattern in patterns if r"\A" in pattern or r"\Z" in pattern]


@pytest.mark.parametrize("schema", ["Row", "Asset", "UpstreamRow"])
async def test_every_amount_is_documented_as_plain_decimal_text(document: Any, schema: str) -> None:
    for field in ("total", "free", "locked"):
        amount = document["components"]["schemas"][schema]["properties"][field]
        assert amount["type"] == "string"
        pattern = re.compile(amount["pattern"])
        assert all(map(pattern.search, ("0", "-0.5", "1000", "0.00000001")))
        assert not any(map(pattern.search, ("", "1E-8", "0.50", "01", "-0", "1.", "NaN")))


async def test_the_document_is_the_same_each_time_and_holds_no_secret(calm: Service, document: Any) -> None:
    text = (await calm.anonymous.get("/openapi.json")).text
    assert json.loads(text) == document
    for secret in ("canary-token", "tg_", "127.0.0.1", calm.upstream.url):
        assert secret not in text


async def test_references_lead_somewhere_and_operations_have_names_of_their_own(document: Any) -> None:
    references = {node["$ref"] for node in walk(document) if "$ref" in node}
    for reference in references:
        assert resolve(document, {"$ref": reference})
    names = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(set(names)) == len(names)
