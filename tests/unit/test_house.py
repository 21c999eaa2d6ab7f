"""Imports only go down, and what shall be in one place is in one place."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

HOUSE = """
__main__
commands: demo check serve stopping key
main
heart
way_out
issuer_keys
gauges
settings
clients_file
api: face service routes batch portfolio merchants asking strips tabulating tables page_headers merchant_views paging documenting deadline short_way edge first_step audit browsers front memos guards pages answers shelf encodings choices batch_views portfolio_views part_views problems replies request_ids views directives parameters header_lines formats origins
access: watching clients judge keyring jwts verifying issuers callers standing failures
portfolio: portfolio reconciler looking roll holders parts
desk
cache: cache waiting versions jobs flights fleet vault advances budget lines turns redis_tier convoys strokes bus census link connecting scripts backoff memory tally freshness embedded
upstream: client directory minted minting sealing calls retries tokens transport envelope
balances: normalising reconciling shares totals merchants snapshots amounts
breaker
draining
rate
tasks
telemetry: otlp traces side_door probes exposition gathering readings vitals metrics families pulse logs
errors
secrecy
clock
"""

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "app").rglob("*.py"))


def _floors() -> list[str]:
    """Give the modules from the top of the house down."""
    floors = []
    for line in HOUSE.strip().splitlines():
        room, _, files = line.partition(": ")
        floors += [f"app.{room}.{file}" for file in files.split()] or [f"app.{room}"]
    return floors


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def _imports(path: Path) -> frozenset[str]:
    return frozenset(_read_imports(ast.parse(path.read_text())))


def _read_imports(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_file_has_its_floor() -> None:
    files = {_name(path) for path in MODULES if path.name != "__init__.py"}
    assert files == set(_floors())


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_imports_only_go_down(path: Path) -> None:
    floors = _floors()
    here = floors.index(_name(path)) if _name(path) in floors else len(floors)
    above = [name for name in _imports(path) if name in floors and floors.index(name) <= here]
    assert not above


@pytest.mark.parametrize(
    ("what", "where"),
    [
        ("httpx", {"app.upstream.transport"}),
        ("aiohttp", {"app.upstream.transport"}),
        ("redis", {"app.cache.connecting", "app.cache.link", "app.cache.strokes"}),
        ("granian", {"app.commands.serve", "app.commands.stopping"}),
        ("cryptography", {"app.upstream.sealing"}),
        ("opentelemetry", {"app.telemetry.otlp"}),
        ("prometheus_client", {"app.telemetry.exposition"}),
        ("tomllib", {"app.clients_file"}),
        ("jwt", {"app.access.verifying"}),
        ("sandbox", set()),
    ],
)
def test_a_library_is_met_in_one_place(what: str, where: set[str]) -> None:
    assert {_name(path) for path in MODULES if any(name.split(".")[0] == what for name in _imports(path))} == where


def test_ages_are_made_of_one_clock() -> None:
    assert [_name(path) for path in MODULES if "time_ns" in path.read_text()] == ["app.clock"]


def test_the_cache_knows_no_upstream() -> None:
    cache = [path for path in MODULES if path.parent.name == "cache"]
    assert not [name for path in cache for name in _imports(path) if name.startswith("app.upstream")]


def test_secrets_are_opened_where_they_leave() -> None:
    assert {_name(path) for path in MODULES if ".reveal()" in path.read_text()} == {
        "app.secrecy",
        "app.upstream.transport",
        "app.upstream.sealing",
        "app.heart",
    }


def test_no_float_in_the_domain() -> None:
    for path in (ROOT / "app" / "balances").glob("*.py"):
        names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
        assert not names & {"float", "time", "datetime"}
