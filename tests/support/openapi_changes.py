"""OpenAPI changes that break a client: what one document promises and the next one does not."""

from collections.abc import Iterator
from typing import Any

from app.api.openapi.completion import resolve

Json = dict[str, Any]


def find_breaking_changes(old: Json, new: Json) -> list[str]:
    """Name each promise of the old document that the new one breaks, as `operation: what`."""
    return sorted({*_operation_changes(old, new), *_answer_changes(old, new)})


def _operations(document: Json) -> dict[str, tuple[str, Json]]:
    return {
        operation["operationId"]: (f"{method.upper()} {path}", operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


def _operation_changes(old: Json, new: Json) -> Iterator[str]:
    after = _operations(new)
    for name, (where, operation) in _operations(old).items():
        if name not in after or after[name][0] != where:
            yield f"{name}: {where} is gone"
            continue
        then, now = _parameters(old, operation), _parameters(new, after[name][1])
        for key in then.keys() - now.keys():
            yield f"{name}: the parameter {key[1]} is gone"
        for key, parameter in now.items():
            if parameter.get("required") and not then.get(key, {}).get("required"):
                yield f"{name}: the parameter {key[1]} is required now"
            yield from _narrowed(
                f"{name}: the parameter {key[1]}", then.get(key, {}).get("schema"), parameter["schema"]
            )
        for status in operation["responses"].keys() - after[name][1]["responses"].keys():
            yield f"{name}: the status {status} is gone"


def _parameters(document: Json, operation: Json) -> dict[tuple[str, str], Json]:
    found = [dict(resolve(document, parameter)) for parameter in operation.get("parameters", ())]
    return {(parameter["in"], parameter["name"]): parameter for parameter in found}


def _narrowed(name: str, old: Json | None, new: Json) -> Iterator[str]:
    """Name what a request might have had and may not have any more."""
    if old is None:
        return
    if old.get("type") != new.get("type"):
        yield f"{name} is of another type"
    if "enum" in new and not set(old.get("enum", ())) <= set(new["enum"]):
        yield f"{name} takes fewer values"
    if old.get("pattern") != new.get("pattern"):
        yield f"{name} has another pattern"
    for bound, is_narrower in (("maximum", min), ("maxItems", min), ("minimum", max), ("minItems", max)):
        if bound in new and (bound not in old or is_narrower(old[bound], new[bound]) != old[bound]):
            yield f"{name} has another {bound}"


def _answer_changes(old: Json, new: Json) -> Iterator[str]:
    """Name what answers had and have not any more. Only answers have schemas with names, but for `BatchQuestion`."""
    after = new["components"]["schemas"]
    for name, schema in old["components"]["schemas"].items():
        if name not in after:
            yield f"{name}: is gone"
            continue
        then, now = schema.get("properties", {}), after[name].get("properties", {})
        for field in then.keys() - now.keys():
            yield f"{name}: {field} is gone"
        for field in set(schema.get("required", ())) - set(after[name].get("required", ())):
            yield f"{name}: {field} may be missing now"
        for field in then.keys() & now.keys():
            if _type(then[field]) != _type(now[field]):
                yield f"{name}: {field} is of another type"
        if not set(after[name].get("enum", ())) <= set(schema.get("enum", ())):
            yield f"{name}: has new values"


def _type(schema: Json) -> object:
    if "items" in schema:
        return "array", _type(schema["items"])
    return schema.get("$ref") or schema.get("type") or str(schema.get("oneOf"))
