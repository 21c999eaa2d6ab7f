"""The compose file: the demo, the real one, and no secret in any environment."""

import json
import re
import tomllib
from typing import Any

import msgspec
import pytest
import yaml

from app.access.callers import hash_key
from app.access.clients_file import read_clients
from app.api.problem_kinds import PROBLEMS
from app.settings.environment import unknown_settings
from app.settings.sections import HttpSettings
from tests.support.manifests import ROOT

DEMO: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
REAL: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.real.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = DEMO["services"]
DEMO_KEY = "tg_demo-only-everybody-knows-this-key"

each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)


def test_demo_and_real_are_projects_of_their_own_and_share_no_network() -> None:
    assert DEMO["name"] != REAL["name"]
    assert not any("external" in str(one["networks"]) or "profiles" in str(one) for one in (DEMO, REAL))
    subnets = [one["networks"]["front"]["ipam"]["config"][0]["subnet"] for one in (DEMO, REAL)]
    assert subnets[0] != subnets[1]


def test_the_real_one_is_the_demo_without_its_upstream_and_its_secrets() -> None:
    assert REAL["services"].keys() == SERVICES.keys() - {"sandbox"}
    extended = {name: service["extends"] for name, service in REAL["services"].items()}
    assert extended == {name: {"file": "docker-compose.yml", "service": name} for name in extended}
    gateway = REAL["services"]["gateway"]
    (mount,) = gateway["volumes"]
    (replaced,) = SERVICES["gateway"]["volumes"]
    assert mount.split(":")[1:] == replaced.split(":")[1:]
    assert "demo" not in mount
    assert gateway["environment"]["TALLYGATE_UPSTREAM_URL"].startswith("${TALLYGATE_UPSTREAM_URL:?")


def test_a_gateway_reads_settings_that_exist_and_its_secrets_from_a_folder() -> None:
    service = SERVICES["gateway"]
    assert list(unknown_settings(service["environment"])) == []
    assert "TALLYGATE_UPSTREAM_TOKEN" not in service["environment"]
    (mount,) = service["volumes"]
    source, target, _ = mount.split(":")
    files = {value for key, value in service["environment"].items() if key.endswith("_FILE")}
    assert files == {f"{target}/{found.name}" for found in (ROOT / source).iterdir()}
    assert service["deploy"]["replicas"] == 2


def test_the_history_fits_beside_the_balances() -> None:
    (command,) = (service["command"] for service in SERVICES.values() if "--maxmemory" in str(service.get("command")))
    memory = int(command[command.index("--maxmemory") + 1].removesuffix("mb")) * 1024 * 1024
    assert int(SERVICES["gateway"]["environment"]["TALLYGATE_HISTORY_BYTES"]) * 2 <= memory


@each_service
def test_what_is_mounted_is_there_and_a_folder(service: dict[str, Any]) -> None:
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        assert (ROOT / source).is_dir() if source.startswith("./") else source in DEMO["volumes"]


@each_service
def test_a_service_is_judged_by_its_health_and_is_bounded(service: dict[str, Any]) -> None:
    is_over_soon = service["restart"] == "no"
    assert is_over_soon or service["healthcheck"].keys() & {"test", "interval"}
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}


def test_who_trusts_the_balancer_trusts_its_network_alone() -> None:
    for composed, inherited in ((DEMO, SERVICES["nginx"]), (REAL, SERVICES["nginx"])):
        (front,) = composed["networks"]["front"]["ipam"]["config"]
        assert composed["services"]["gateway"]["environment"]["TALLYGATE_TRUSTED_PROXIES"] == front["subnet"]
        assert "front" in inherited["networks"]
    configured = (ROOT / "deploy/nginx/nginx.conf").read_text()
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in configured
    assert 'proxy_set_header Forwarded "";' in configured


def test_no_service_writes_to_its_image_or_keeps_capabilities() -> None:
    for name, service in SERVICES.items():
        assert service["read_only"] is True
        assert service.get("cap_add", []) == (["DAC_READ_SEARCH", "FOWNER"] if name == "readable" else [])
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def networks(name: str) -> set[str]:
    return set(SERVICES[name].get("networks", ()))


def test_only_the_gateways_reach_valkey_and_the_simulated_upstream() -> None:
    assert {name for name in SERVICES if "back" in networks(name)} == {"gateway", "valkey", "sandbox"}
    assert networks("valkey") == networks("sandbox") == {"back"}


def test_only_the_real_gateways_have_a_way_out() -> None:
    for composed in (DEMO, REAL):
        for name, network in composed["networks"].items():
            masquerades = "com.docker.network.bridge.enable_ip_masquerade"
            closed = network.get("internal") or network.get("driver_opts", {}).get(masquerades) == "false"
            assert closed or (composed is REAL and name == "way-out")
    assert [name for name, one in REAL["services"].items() if "way-out" in one.get("networks", ())] == ["gateway"]


def test_ports_are_open_to_this_machine_only() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_prometheus_scrapes_the_port_of_the_metrics() -> None:
    (job,) = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    assert found["names"] == SERVICES["gateway"]["networks"]["front"]["aliases"]
    assert SERVICES["gateway"]["environment"]["TALLYGATE_METRICS_PORT"] == str(found["port"])


def test_nginx_waits_longer_than_a_gateway_may_take_and_lets_connections_rest_less_long() -> None:
    configured = "".join((ROOT / "deploy/nginx" / name).read_text() for name in ("nginx.conf", "gateways.conf"))
    seconds = {name: float(value) for name, value in re.findall(r"^ *(\w+_timeout) (\d+)s;", configured, re.MULTILINE)}
    limit = {field.name: field.default for field in msgspec.structs.fields(HttpSettings)}["request_timeout_seconds"]
    assert seconds["keepalive_timeout"] < limit < seconds["proxy_read_timeout"]


def test_nginx_asks_a_second_time_for_reads_alone() -> None:
    configured = (ROOT / "deploy/nginx/nginx.conf").read_text()
    (cases,) = re.findall(r"map \$request_method \$after_no_answer \{(.*?)\}", configured, re.DOTALL)
    again = dict(line.strip(" ;").split() for line in cases.strip().splitlines())
    assert again == {"default": "/nginx/504", "GET": "@again", "HEAD": "@again"}


def test_every_refusal_of_nginx_is_a_problem_that_the_gateway_knows() -> None:
    configured = (ROOT / "deploy/nginx/problems.conf").read_text()
    known = {(kind.name, kind.status, kind.title) for kind in PROBLEMS.values()}
    found = re.findall(r"return (\d+) '(.*)';", configured)
    assert len(found) > 5
    for status, text in found:
        problem = json.loads(text)
        assert (problem["type"].removeprefix("/problems/"), problem["status"], problem["title"]) in known
        assert problem["status"] == int(status)
    pages = {f"/nginx/{status}" for status, _ in found}
    assert set(re.findall(r"^error_page .*=\d+ (/nginx/\d+);", configured, re.MULTILINE)) | {"/nginx/504"} == pages


def test_images_are_pinned_by_a_version() -> None:
    for service in SERVICES.values():
        assert re.search(r":v?\d", service["image"])


def test_the_key_of_the_demo_is_the_one_in_the_readme() -> None:
    path = ROOT / "k8s/overlays/sandbox/demo/clients.toml"
    (caller,) = read_clients(str(path)).callers
    assert caller.key_sha256 == hash_key(DEMO_KEY)
    assert DEMO_KEY in (ROOT / "README.md").read_text()
    assert "demonstrations only" in path.read_text()
    assert tomllib.loads(path.read_text())
