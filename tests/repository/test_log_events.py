"""Every event that the source logs is explained in docs/logs.md, and nothing else is."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
LEVELS = {"debug", "info", "warning", "error", "exception"}
ROW = re.compile(r"^\| `([a-z_.]+)` \| (debug|info|warning|error) \|", re.MULTILINE)


def logged() -> Iterator[tuple[str, str]]:
    """Walk the log calls of the source: event and level."""
    for path in (ROOT / "app").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="log") | ast.Attribute(attr="log" | "_log"), attr=level),
                    args=[ast.Constant(event), *_],
                ):
                    if level in LEVELS:
                        yield str(event), "error" if level == "exception" else level


def test_every_event_is_explained_with_its_level_and_the_other_way_round() -> None:
    explained = ROW.findall((ROOT / "docs" / "logs.md").read_text())
    assert sorted(explained) == sorted(set(logged()))


def test_events_are_dotted_names_given_as_they_are() -> None:
    calls = 0
    for path in (ROOT / "app").rglob("*.py"):  # called or not: what is kept under another name would not be seen
        calls += len(re.findall(r"\b_?log\.(?:debug|info|warning|error|exception)\b", path.read_text()))
    events = list(logged())
    assert len(events) == calls > 30
    assert all(re.fullmatch(r"[a-z]+\.[a-z_]+", event) for event, _ in events)
