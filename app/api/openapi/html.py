"""HTML pages about the API, without scripts or anything loaded from elsewhere."""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any, Final

from app.api.openapi.completion import resolve
from app.api.problem_kinds import ProblemKind

_STYLE: Final = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem }
h2 { margin-top: 2.5rem; font-size: 1.1rem }
code, pre { font: .9em ui-monospace, monospace }
pre { background: #8882; padding: .75rem; overflow-x: auto; border-radius: 4px }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #8884 }
"""

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    + "'"
)


def render_docs(document: Mapping[str, Any]) -> str:
    """Render an OpenAPI document: each path with its parameters, its responses and a curl line."""
    info = document["info"]
    operations = [
        (method, path, _resolved(document, item[method]))
        for path, item in document["paths"].items()
        for method in ("get", "post")
        if method in item
    ]
    parts = [
        f"<p>{escape(info['description'])} Version {escape(info['version'])}.</p>",
        "<p>The machine-readable form is <a href=/openapi.json>/openapi.json</a>.</p>",
        "<p>Send your key as <code>Authorization: Bearer &lt;key&gt;</code> or as <code>X-BH-TOKEN</code>.</p>",
        *(_render_operation(*operation) for operation in operations),
        "<h2>Bodies</h2>",
        *(_render_schema(name, schema) for name, schema in document["components"]["schemas"].items()),
    ]
    return _page(info["title"], parts)


def _resolved(document: Mapping[str, Any], operation: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an operation with its parameters and responses in place."""
    parameters = [resolve(document, parameter) for parameter in operation.get("parameters", ())]
    responses = {status: resolve(document, answer) for status, answer in operation["responses"].items()}
    return {**operation, "parameters": parameters, "responses": responses}


def render_problem_kind(kind: ProblemKind) -> str:
    """Render the page of one kind of problem."""
    return _page(
        kind.title,
        [f"<p>Status {kind.status}, <code>/problems/{escape(kind.name)}</code>.</p>", f"<p>{escape(kind.advice)}</p>"],
    )


def render_problem_index(kinds: Iterable[ProblemKind]) -> str:
    """Render the list of all kinds of problems."""
    rows = [(str(kind.status), f"<a href=/problems/{kind.name}>{kind.name}</a>", escape(kind.title)) for kind in kinds]
    return _page("Problems", [_table(("status", "type", "title"), rows)])


def _render_operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    parameters = [
        (f"<code>{escape(parameter['name'])}</code>", escape(parameter["in"]), escape(parameter.get("description", "")))
        for parameter in operation.get("parameters", ())
    ]
    answers = [(status, escape(answer["description"])) for status, answer in sorted(operation["responses"].items())]
    return "".join(
        (
            f"<h2>{method.upper()} <code>{escape(path)}</code></h2><p>{escape(operation.get('description') or operation['summary'])}</p>",
            _table(("parameter", "in", "meaning"), parameters) if parameters else "",
            f"<pre>curl -H 'Authorization: Bearer &lt;key&gt;'{_sending(method, operation)} '&lt;here&gt;{escape(_example(path, operation))}'</pre>",
            _table(("status", "when"), answers),
        )
    )


def _sending(method: str, operation: Mapping[str, Any]) -> str:
    """Return the curl options for a method other than GET and its body."""
    if method == "get":
        return ""
    return " --json @body.json" if "requestBody" in operation else " -X POST"


def _example(path: str, operation: Mapping[str, Any]) -> str:
    """Fill in a path and its required parameters with their examples."""
    query = []
    for parameter in operation.get("parameters", ()):
        example = next(iter(parameter["schema"].get("examples", ())), "USDT")
        text = ",".join(map(str, example)) if isinstance(example, list) else str(example)
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", text)
        elif parameter.get("required"):
            query.append(f"{parameter['name']}={text}")
    return path + ("?" + "&".join(query) if query else "")


def _render_schema(name: str, schema: Mapping[str, Any]) -> str:
    fields = [
        (f"<code>{escape(field)}</code>", escape(_type_of(spec)), escape(spec.get("description", "")))
        for field, spec in schema.get("properties", {}).items()
    ]
    about = escape(schema.get("description", ""))
    return f"<h2 id={escape(name)}>{escape(name)}</h2><p>{about}</p>" + (
        _table(("field", "type", "meaning"), fields) if fields else ""
    )


def _type_of(spec: Mapping[str, Any]) -> str:
    if "$ref" in spec:
        return str(spec["$ref"]).rpartition("/")[2]
    if "items" in spec:
        return f"list of {_type_of(spec['items'])}"
    if "oneOf" in spec:
        return " or ".join(map(_type_of, spec["oneOf"]))
    return str(spec.get("type", "any"))


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}" for cell in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}" for cell in row) for row in rows)
    return f"<table><tr>{head}{body}</table>"


def _page(title: str, parts: Iterable[str]) -> str:
    """Make a page of a title in plain text and parts in HTML."""
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title><style>{_STYLE}</style>"
        f"<h1>{escape(title)}</h1>{''.join(parts)}</html>"
    )
