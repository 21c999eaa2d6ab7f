"""The OpenAPI document as clients are made of it: names, types, examples, and promises that are kept."""

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from app.api.openapi.completion import resolve
from app.api.problem_kinds import PROBLEMS
from tests.support.openapi_changes import find_breaking_changes
from tests.support.service import Service

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "clients" / "openapi.json"
RELEASED = Path(__file__).parent / "released" / "openapi.json"
NAMES = {
    "getMerchantBalances",
    "getAssetBalance",
    "getPortfolio",
    "getUpstreamBalances",
    "getBalances",
    "queryBalances",
    "listMerchants",
    "getMerchantChanges",
    "getPortfolioChanges",
    "getChanges",
    "getBreakdown",
    "getHolders",
    "reportMoves",
    "getLastReconciliation",
    "getReconciliation",
    "startReconciliation",
    "getMe",
    "getLiveness",
    "getReadiness",
    "watch",
}
"""The operations that docs/decisions/0033 promises."""


@pytest.fixture(scope="module")
async def document(calm: Service) -> Any:
    return (await calm.anonymous.get("/openapi.json")).json()


def operations(document: Any) -> dict[str, Any]:
    return {one["operationId"]: one for item in document["paths"].values() for one in item.values()}


def check(document: Any, schema: Any, value: Any) -> None:
    jsonschema_rs.Draft202012Validator({**schema, "components": document["components"]}).validate(value)


async def test_the_committed_document_is_the_one_that_is_served(document: Any) -> None:
    assert json.loads(COMMITTED.read_text()) == document, "make openapi writes it"


async def test_operations_have_the_names_that_are_promised(document: Any) -> None:
    assert set(operations(document)) == NAMES


async def test_no_promise_of_the_last_release_is_broken_unless_the_changelog_names_it(document: Any) -> None:
    unreleased = (ROOT / "CHANGELOG.md").read_text().split("## [")[1]
    broken = find_breaking_changes(json.loads(RELEASED.read_text()), document)
    assert [change for change in broken if f"`{change}`" not in unreleased] == []


def test_each_breaking_change_is_found() -> None:
    old = json.loads(RELEASED.read_text())
    new = copy.deepcopy(old)
    del new["paths"]["/v1/portfolio"]
    batch = new["paths"]["/v1/balances"]["get"]
    by_name = {one.get("name"): one for one in batch["parameters"]}
    batch["parameters"].remove(by_name["assets"])
    by_name["require"]["required"] = True
    by_name["nonzero"]["schema"]["enum"] = ["true"]
    by_name["merchantId"]["schema"]["maxItems"] = 10
    del batch["responses"]["304"]
    schemas = new["components"]["schemas"]
    del schemas["Coverage"]
    del schemas["Row"]["properties"]["free"]
    schemas["Row"]["properties"]["total"]["type"] = "number"
    schemas["KnownPart"]["required"].remove("asOf")
    schemas["Verdict"]["enum"].append("odd")
    assert find_breaking_changes(old, old) == []
    assert find_breaking_changes(old, new) == [
        "Coverage: is gone",
        "KnownPart: asOf may be missing now",
        "Row: free is gone",
        "Row: total is of another type",
        "Verdict: has new values",
        "getBalances: the parameter assets is gone",
        "getBalances: the parameter merchantId has another maxItems",
        "getBalances: the parameter nonzero takes fewer values",
        "getBalances: the parameter require is required now",
        "getBalances: the status 304 is gone",
        "getPortfolio: GET /v1/portfolio is gone",
    ]


async def test_every_answer_and_every_problem_has_an_example_that_is_right(document: Any) -> None:
    problems = set()
    for name, operation in operations(document).items():
        for status, reference in operation["responses"].items():
            for media_type, content in resolve(document, reference).get("content", {}).items():
                examples = content.get("examples", {})
                if media_type in {"application/json", "application/problem+json"} and int(status) < 300:
                    assert examples, (name, status)
                for example in examples.values():
                    check(document, content["schema"], example["value"])
                problems |= set(examples) if media_type == "application/problem+json" else set()
    not_on_get = {"method-not-allowed"}
    assert problems == {kind.name for kind in PROBLEMS.values()} - not_on_get


async def test_a_part_is_told_apart_by_its_status(document: Any) -> None:
    part = document["components"]["schemas"]["Part"]
    assert set(part["discriminator"]["mapping"]) == {"fresh", "stale", "unavailable"}
    known = {"merchantId": 1, "canDeposit": True, "asOf": "2026-11-23T10:00:00.123Z", "balances": []}
    problem = {"type": "/problems/x", "title": "x", "status": 503, "detail": "x"}
    check(document, part, known | {"status": "stale"})
    check(document, part, {"merchantId": 1, "status": "unavailable", "problem": problem})
    for wrong in (known | {"status": "unavailable"}, {"merchantId": 1, "status": "fresh", "problem": problem}):
        with pytest.raises(jsonschema_rs.ValidationError):
            check(document, part, wrong)


async def test_optional_fields_are_no_unions_of_one_and_nothing_says_its_default(document: Any) -> None:
    text = json.dumps(document)
    for noise in ('"deprecated": false', '"allowEmptyValue"', '"allowReserved"', "(?!"):
        assert noise not in text

    def unions(node: Any) -> list[Any]:
        children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        own = [node["oneOf"]] if isinstance(node, dict) and "oneOf" in node else []
        return [*own, *(found for child in children for found in unions(child))]

    assert min(map(len, unions(document))) == 2


async def test_amounts_are_decimal_text_and_ids_are_numbers_that_javascript_keeps(document: Any) -> None:
    row = document["components"]["schemas"]["Row"]["properties"]
    assert {row[name]["format"] for name in ("total", "free", "locked")} == {"decimal"}
    operation = operations(document)["getMerchantBalances"]
    [merchant] = [one for one in operation["parameters"] if one.get("name") == "merchantId"]
    assert (merchant["schema"]["type"], merchant["schema"]["maximum"]) == ("integer", 2**53 - 1)
