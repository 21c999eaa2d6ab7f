"""Pages for people: made of our own documents, without anything foreign, and without scripts."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest

from app.api.openapi.completion import resolve
from app.api.problem_kinds import PROBLEMS, ProblemKind
from tests.support.errors import assert_problem
from tests.support.service import Service

KINDS = sorted(PROBLEMS.values(), key=lambda kind: kind.name)
PAGES = ["/docs", "/problems", *(f"/problems/{kind.name}" for kind in KINDS)]


class Page(HTMLParser):
    """What a page loads, links to and says."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.text = ""
        self.style = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in {"src", "href", "action", "data", "srcset", "poster", "formaction", "ping", "background"}:
                self.addresses.append(value or "")
            if name.startswith("on") or name == "style":
                self.handlers.append(name)

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "style" and not self.style:
            self.style = data
        else:
            self.text += data


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_loads_nothing_and_links_only_to_this_service(calm: Service, path: str) -> None:
    response = await calm.anonymous.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    page = Page(response.text)
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form", "video"} & set(page.tags)
    assert not page.handlers
    assert all(urlsplit(address)[:2] == ("", "") for address in page.addresses)
    assert not re.search(r"(https?:)?//[a-z]|@import|url\(", response.text)
    for address in page.addresses:
        assert (await calm.anonymous.get(address)).status_code == 200


@pytest.mark.parametrize("path", PAGES[:3])
async def test_a_page_lets_the_browser_do_nothing_but_show_its_own_style(calm: Service, path: str) -> None:
    response = await calm.anonymous.get(path)
    digest = base64.b64encode(hashlib.sha256(Page(response.text).style.encode()).digest()).decode()
    policy = dict(part.strip().split(" ", 1) for part in response.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["style-src"] == f"'sha256-{digest}'"
    assert {policy[name] for name in ("base-uri", "form-action", "frame-ancestors")} == {"'none'"}
    assert not {"script-src", "img-src", "connect-src"} & set(policy)


async def test_the_docs_show_every_path_parameter_and_body_of_the_document(calm: Service) -> None:
    document = (await calm.anonymous.get("/openapi.json")).json()
    text = Page((await calm.anonymous.get("/docs")).text).text
    for path, item in document["paths"].items():
        assert path in text
        for parameter in (resolve(document, one) for one in item.get("get", {}).get("parameters", ())):
            assert parameter["name"] in text
            assert parameter["description"] in text
    for name in document["components"]["schemas"]:
        assert name in text


async def test_every_example_of_the_docs_can_be_asked_for(calm: Service) -> None:
    text = Page((await calm.anonymous.get("/docs")).text).text
    examples = re.findall(r"'( --json @body.json)? '<here>([^']+)'", text)
    assert len(examples) >= 10
    for body, example in examples:
        if body:
            response = await calm.client.post(example, json={"merchantIds": [12345]})
        elif example.startswith("/v1/watch"):
            response = await calm.client.head(example)  # a stream would not end
        else:
            response = await calm.get(example)
        none_yet = '-reconciliation"' in response.text
        without_the_right = example == "/v1/moved" and response.status_code == 403
        assert response.status_code == 200 or none_yet or without_the_right, example


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
async def test_the_type_of_every_problem_is_a_page_that_explains_it(calm: Service, kind: ProblemKind) -> None:
    text = Page((await calm.anonymous.get(f"/problems/{kind.name}")).text).text
    for words in (kind.title, str(kind.status), kind.name, kind.advice):
        assert words in text


async def test_the_list_of_problems_has_every_kind(calm: Service) -> None:
    page = Page((await calm.anonymous.get("/problems")).text)
    assert sorted(page.addresses) == [f"/problems/{kind.name}" for kind in KINDS]


@pytest.mark.parametrize("name", ["nothing", "Forbidden", "forbidden%20", "forbidden%0A", "%3Cscript%3E"])
async def test_a_problem_that_there_is_not_has_no_page(calm: Service, name: str) -> None:
    assert_problem(await calm.anonymous.get(f"/problems/{name}"), "unknown-path")
