"""OpenAPI completion: what generators of clients need beyond what Litestar derives from handlers and structs. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from app.api.openapi.examples import BODIES, problem_examples
from app.api.openapi.headers import REQUEST_HEADERS, RESPONSE_HEADERS, request_headers, response_headers

Json = dict[str, Any]

TAGS: Final = {
    "Balances": "One merchant, many merchants, or all together.",
    "Portfolio": "Every merchant, who holds an asset, and whether the aggregate agrees.",
    "Past": "What changed, and the feed of all changes.",
    "Caller": "Who you are here, and what you may read.",
    "Moves": "Reports of our own programs that money was moved.",
    "Service": "Health of the gateway itself.",
}

_ALWAYS: Final = {
    "Account": ["asOf"],
    "Asset": ["asOf"],
    "Holder": ["asOf"],
    "Batch": ["merchants"],
    "Breakdown": ["version", "merchants"],
    "Holders": ["version", "holders"],
}
"""Fields that every answer has, though their structs leave them unset while an answer is made."""

_UNIONS: Final[dict[str, tuple[str, dict[str, tuple[list[Any], list[str], list[str]]]]]] = {
    "Part": (
        "status",
        {
            "KnownPart": (["fresh", "stale"], ["canDeposit", "asOf", "balances"], ["problem"]),
            "MissingPart": (["unavailable"], ["problem"], ["canDeposit", "asOf", "balances", "anomalies"]),
        },
    ),
    "Breakdown": (
        "complete",
        {
            "WholeBreakdown": ([True], ["totals"], ["partialTotals"]),
            "PartialBreakdown": ([False], ["partialTotals"], ["totals"]),
        },
    ),
}
"""Unions by the field that distinguishes their members. A member has values of it, fields always there, and never there."""

_NO_NEWLINE: Final = r"(?!\n)"
"""Python's `$` also matches before a last newline. ECMA 262 and RE2 have no such case, and RE2 no look-ahead."""
_DEFAULTS: Final = {"deprecated": False, "allowEmptyValue": False, "allowReserved": False, "required": []}
_AMOUNT: Final = re.compile(r"^\^\(\?:0\|-\?")


def complete(document: Mapping[str, Any]) -> Json:
    """Return a document with optional fields as such, unions by a field, headers, examples and tags."""
    whole: Json = _rename(_simplify(document))
    schemas = whole["components"]["schemas"]
    for name, fields in _ALWAYS.items():
        schemas[name]["required"] = sorted({*schemas[name].get("required", ()), *fields})
    for name, (field, members) in _UNIONS.items():
        _split(schemas, name, field, members)
    problems: Json = {}
    for method, operation in _operations(whole):
        _complete_operation(method, operation, problems)
    whole["components"] |= {"headers": RESPONSE_HEADERS, "parameters": REQUEST_HEADERS, "responses": problems}
    whole["tags"] = [{"name": name, "description": text} for name, text in TAGS.items()]
    return whole


def resolve(document: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a node refers to, or the node itself if it does not refer to anything."""
    found: Mapping[str, Any] = node
    if "$ref" in node:
        found = document
        for name in node["$ref"].removeprefix("#/").split("/"):
            found = found[name]
    return found


def _operations(document: Json) -> Iterator[tuple[str, Json]]:
    for item in document["paths"].values():
        yield from item.items()


def _complete_operation(method: str, operation: Json, problems: Json) -> None:
    """Complete an operation. Problems go to `problems`, which all operations share."""
    operation.setdefault("security", [])
    if headers := request_headers(method, operation):
        operation.setdefault("parameters", []).extend({"$ref": f"#/components/parameters/{name}"} for name in headers)
    for status, answer in operation["responses"].items():
        named = response_headers(operation, int(status))
        answer["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in named} | answer.get(
            "headers", {}
        )
        for media_type, content in answer.get("content", {}).items():
            if (body := BODIES.get((operation["operationId"], int(status), media_type))) is not None:
                content["examples"] = {"example": {"value": body}}
        if (problem := answer.get("content", {}).get("application/problem+json")) is not None:
            problem["examples"] = problem_examples(int(status))
            problems[f"Problem{status}"] = answer
            operation["responses"][status] = {"$ref": f"#/components/responses/Problem{status}"}


def _simplify(node: Any) -> Any:
    """Return a node without defaults, with one alternative as itself, and with numbers as JSON Schema writes them."""
    if isinstance(node, list):
        return [_simplify(child) for child in node]
    if not isinstance(node, Mapping):
        return node
    found = {name: _simplify(value) for name, value in node.items() if _DEFAULTS.get(name, ...) != value}
    if "in" in found and "schema" in found:
        found = _simplify_parameter(found)
    if len(found.get("oneOf", ())) == 1:
        found = {**found.pop("oneOf")[0], **found}
    if all("$ref" in one for one in found.get("oneOf", [{}])):  # nothing keeps an answer from being both
        found["anyOf"] = found.pop("oneOf")
    for bound in {"minimum", "maximum"} & set(found):
        found[bound] = int(found[bound])
    if isinstance(pattern := found.get("pattern"), str):
        found["pattern"] = pattern.removesuffix(_NO_NEWLINE)
        if _AMOUNT.match(pattern):
            found["format"] = "decimal"
    return found


def _simplify_parameter(parameter: Json) -> Json:
    """Return a parameter that is described once, and that is left out where Python has None."""
    schema = {name: value for name, value in parameter["schema"].items() if name != "description"}
    if "oneOf" in schema:
        schema["oneOf"] = [one for one in schema["oneOf"] if one != {"type": "null"}]
    if len(schema.get("oneOf", ())) == 1:
        schema = schema.pop("oneOf")[0] | schema
    required = {"required": True} if parameter.get("required") else {}
    by_commas = {"style": "form", "explode": False} if schema.get("type") == "array" else {}
    return {name: parameter[name] for name in ("name", "in", "description")} | required | by_commas | {"schema": schema}


def _rename(document: Json) -> Json:
    """Name schemas without the ending that views have in the code."""
    schemas = document["components"]["schemas"]
    names = {name: name.removesuffix("View") for name in schemas}

    def rename(node: Any) -> Any:
        if isinstance(node, list):
            return [rename(child) for child in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            prefix, _, name = node["$ref"].rpartition("/")
            return {**node, "$ref": f"{prefix}/{names.get(name, name)}"}
        return {name: rename(child) for name, child in node.items()}

    renamed: Json = rename(document)
    renamed["components"]["schemas"] = {
        names[name]: {**schema, "title": names[name]} for name, schema in renamed["components"]["schemas"].items()
    }
    return renamed


def _split(schemas: Json, name: str, field: str, members: dict[str, tuple[list[Any], list[str], list[str]]]) -> None:
    """Make a schema a union of members that the values of a field distinguish."""
    whole = schemas[name]
    for member, (values, always, never) in members.items():
        properties = {key: value for key, value in whole["properties"].items() if key not in never}
        kind = "boolean" if isinstance(values[0], bool) else "string"
        properties[field] = {"type": kind, "enum": values}
        required = sorted({*whole["required"], *always})
        schemas[member] = {**whole, "title": member, "properties": properties, "required": required}
    references = {member: f"#/components/schemas/{member}" for member in members}
    union: Json = {"title": name, "oneOf": [{"$ref": reference} for reference in references.values()]}
    if isinstance(next(iter(members.values()))[0][0], str):  # OpenAPI maps only text
        mapping = {value: references[member] for member, (values, _, _) in members.items() for value in values}
        union["discriminator"] = {"propertyName": field, "mapping": mapping}
    schemas[name] = {**union, **{key: whole[key] for key in ("description",) if key in whole}}
