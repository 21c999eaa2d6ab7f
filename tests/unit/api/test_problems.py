import json
from collections.abc import Iterator
from typing import Any

import pytest

from app.api.problem_kinds import PROBLEMS
from app.api.rendering.problems import render_problem
from app.errors import HistoryGone, MethodNotAllowed, StartError, TallygateError


def _leaves(error: type[TallygateError] = TallygateError) -> Iterator[type[TallygateError]]:
    subclasses = error.__subclasses__()
    if not subclasses:
        yield error
    for subclass in subclasses:
        yield from _leaves(subclass)


def _make(kind: type[TallygateError], **more: Any) -> TallygateError:
    if kind is HistoryGone:
        return HistoryGone("detail", kept_from_ms=0, **more)
    if kind is MethodNotAllowed:
        return MethodNotAllowed("detail", allow="GET, HEAD")
    return kind("detail", **more)


def test_every_leaf_of_the_tree_but_those_before_the_start_is_in_the_table() -> None:
    assert set(_leaves()) - {StartError} == set(PROBLEMS)


def test_names_are_paths_of_their_own() -> None:
    names = [kind.name for kind in PROBLEMS.values()]
    assert len(set(names)) == len(names)
    assert all(name.replace("-", "").isalpha() and name.islower() for name in names)


@pytest.mark.parametrize("kind", PROBLEMS, ids=lambda kind: kind.__name__)
def test_every_problem_has_all_its_members(kind: type[TallygateError]) -> None:
    reply = render_problem(_make(kind), "/v1/x", "id-1")
    body = json.loads(reply.body)
    assert dict(reply.headers)[b"content-type"] == b"application/problem+json"
    more = {"keptFrom"} if kind is HistoryGone else set()
    assert set(body) == {"type", "title", "status", "detail", "instance", "requestId"} | more
    assert (body["status"], body["instance"], body["requestId"]) == (reply.status, "/v1/x", "id-1")


@pytest.mark.parametrize("kind", PROBLEMS, ids=lambda kind: kind.__name__)
def test_below_v2_every_error_wears_the_upstreams_envelope(kind: type[TallygateError]) -> None:
    reply = render_problem(_make(kind), "/v2/x", "id-1")
    body = json.loads(reply.body)
    assert set(body) == {"code", "msg", "data"}
    assert (body["code"] != 200, body["data"]) == (True, None)


def test_when_to_come_back_is_told_in_whole_seconds_rounded_up() -> None:
    kind = next(iter(PROBLEMS))
    reply = render_problem(_make(kind, retry_after_seconds=1.2), "/v1/x", "id-1")
    assert (dict(reply.headers)[b"retry-after"], json.loads(reply.body)["retryAfter"]) == (b"2", 2)
    assert dict(render_problem(_make(kind, retry_after_seconds=0.01), "/v1/x", "").headers)[b"retry-after"] == b"1"


def test_no_problem_may_be_stored() -> None:
    for kind in PROBLEMS:
        assert dict(render_problem(_make(kind), "/v1/x", "").headers)[b"cache-control"] == b"no-store"
