"""Imports only go down, and what shall be in one place is in one place."""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

# From the top of the house down. A name is a package with all that is below it, or a module; the longest one counts.
# Packages in one line may not import each other.
HOUSE = """
__main__
cli
server
main
wiring
api.app
api.routes api.middleware
api.streams
api.reads
api.openapi
api.context
api.rendering
api.views
api.requests
api.problem_kinds api.client
api.replies
portfolio
watch
accounts
moved
cache
history
budget
upstream
fleet
access
redis
settings
egress ingress
secret temporary_folders files
balances
errors
resilience
runtime
clock telemetry
decoding
"""

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "app").rglob("*.py"))
FLOORS = {f"app.{room}": floor for floor, line in enumerate(HOUSE.strip().splitlines()) for room in line.split()}
PROGRAMS = sorted(path for name in ("app", "bench", "sandbox") for path in (ROOT / name).rglob("*.py"))
LONGEST = 40
SHELLS = {"app", "app.api"}  # they hold nothing but the line that says what they are


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


NAMES = {_name(path) for path in MODULES}


def _room(name: str) -> str:
    while name and name not in FLOORS:
        name = name.rpartition(".")[0]
    return name


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
    assert not [name for name in NAMES - SHELLS if not _room(name)]
    assert not [room for room in FLOORS if room not in NAMES]


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_imports_only_go_down(path: Path) -> None:
    here = _room(_name(path))
    rooms = {_room(name) for name in _imports(path)} - {here, ""}
    assert not [room for room in rooms if FLOORS[room] <= FLOORS.get(here, len(FLOORS))]


def test_no_two_files_import_each_other() -> None:
    TopologicalSorter({_name(path): _imports(path) & NAMES for path in MODULES}).prepare()


@pytest.mark.parametrize(
    ("what", "where"),
    [
        ("httpx", {"app.egress"}),
        ("httptools", {"app.egress", "app.ingress"}),
        ("redis", {"app.redis"}),
        ("cryptography", {"app.upstream.token_sealing", "app.history.cursors", "app.moved.event_keys"}),
        ("opentelemetry", {"app.telemetry.otlp"}),
        ("prometheus_client", {"app.telemetry.exposition"}),
        ("tomllib", {"app.decoding"}),
        ("jwt", {"app.access.tokens.jwks"}),
        ("sandbox", set()),
    ],
)
def test_a_library_is_met_in_one_place(what: str, where: set[str]) -> None:
    users = {_name(path) for path in MODULES if any(name.split(".")[0] == what for name in _imports(path))}
    assert all(any(f"{user}.".startswith(f"{place}.") for place in where) for user in users)
    assert all(any(f"{user}.".startswith(f"{place}.") for user in users) for place in where)


DECODERS = {
    *("msgspec.json.decode", "msgspec.json.Decoder", "msgspec.msgpack.decode", "msgspec.msgpack.Decoder"),
    *("msgspec.convert", "json.decode", "json.loads", "json.JSONDecoder", "tomllib.loads", "tomllib.load", "fromhex"),
    *("base64.urlsafe_b64decode", "base64.b64decode", "zlib.decompress", "zlib.decompressobj"),
    *("unquote", "unquote_to_bytes", "parse_qs", "parse_qsl"),
}
DECODING = {
    "app.decoding": DECODERS,
    # Environment and command line, read once before anything starts: what is wrong there ends the process by name.
    "app.settings.environment": {"msgspec.convert"},
    "app.redis.urls": {"unquote"},
    "app.cli.demo": {"json.loads"},
    # What other code of ours checked or wrote before.
    "app.upstream.unsolicited": {"parse_qs"},
    "app.api.rendering.list_headers": {"parse_qsl"},
    "app.access.callers": {"fromhex"},
}


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_foreign_input_is_decoded_where_all_errors_are_caught(path: Path) -> None:
    calls = {ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)}
    names = {call if call in DECODERS else call.rpartition(".")[2] for call in calls}
    allowed = DECODING.get(_name(path), set())
    assert not (names & DECODERS) - allowed
    assert _name(path) == "app.decoding" or allowed <= names


def test_ages_are_made_of_one_clock() -> None:
    assert [_name(path) for path in MODULES if "time_ns" in path.read_text()] == ["app.clock"]


def test_the_cache_knows_no_upstream() -> None:
    cache = [path for path in MODULES if path.parent.name == "cache"]
    assert not [name for path in cache for name in _imports(path) if name.startswith("app.upstream")]


def test_secrets_are_opened_where_they_leave() -> None:
    assert {_name(path) for path in MODULES if ".reveal()" in path.read_text()} == {
        "app.secret",
        "app.egress.documents",
        "app.upstream.transport",
        "app.upstream.token_sealing",
        "app.wiring.redis",
    }


def test_functions_are_short() -> None:
    lengths = {
        f"{_name(path)}.{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in PROGRAMS
        if not _name(path).startswith("app.api")  # until its procedures are rewritten
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert not {name: length for name, length in lengths.items() if length > LONGEST}


def test_no_float_in_the_domain() -> None:
    for path in (ROOT / "app" / "balances").glob("*.py"):
        names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
        assert not names & {"float", "time", "datetime"}
