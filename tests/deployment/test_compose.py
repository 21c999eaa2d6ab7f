"""The compose file: both profiles, and no secret in any environment."""

import re
import tomllib
from typing import Any

import msgspec
import pytest
import yaml

from app.access.callers import hash_key
from app.access.clients_file import read_clients
from app.settings.environment import unknown_settings
from app.settings.sections import HttpSettings
from tests.support.manifests import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DEMO_KEY = "tg_demo-only-everybody-knows-this-key"


def started(profile: str) -> set[str]:
    """Name what `--profile` starts."""
    return {name for name, service in SERVICES.items() if profile in service.get("profiles", [profile])}


def test_the_demo_has_the_simulated_upstream_and_the_real_one_has_not() -> None:
    always = {"nginx", "valkey", "prometheus", "grafana"}
    assert started("demo") == always | {"gateway", "sandbox"}
    assert started("real") == always | {"gateway-real"}


def test_the_demo_is_what_starts_without_a_word() -> None:
    assert "COMPOSE_PROFILES=demo" in (ROOT / ".env").read_text().splitlines()


def test_nothing_of_the_demo_is_known_to_the_real_gateway() -> None:
    demo, real = SERVICES["gateway"], SERVICES["gateway-real"]
    sources = [{secret["source"] for secret in service["secrets"]} for service in (demo, real)]
    assert not sources[0] & sources[1]
    assert "sandbox" not in str(real)


@pytest.mark.parametrize("name", ["gateway", "gateway-real"])
def test_a_gateway_reads_settings_that_exist_and_its_secrets_from_files(name: str) -> None:
    service = SERVICES[name]
    assert list(unknown_settings(service["environment"])) == []
    assert "TALLYGATE_UPSTREAM_TOKEN" not in service["environment"]
    files = {value for key, value in service["environment"].items() if key.endswith("_FILE")}
    assert files == {f"/run/secrets/{secret['target']}" for secret in service["secrets"]}
    assert service["deploy"]["replicas"] == 2


def test_every_secret_and_file_that_a_service_mounts_is_there() -> None:
    for service in SERVICES.values():
        for secret in service.get("secrets", []):
            assert secret["source"] in COMPOSE["secrets"]
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (ROOT / source).exists() if source.startswith("./") else source in COMPOSE["volumes"]
    for name, secret in COMPOSE["secrets"].items():
        assert name.startswith("real-") or (ROOT / secret["file"]).is_file()


def test_no_service_writes_to_its_image_or_keeps_capabilities() -> None:
    for service in SERVICES.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_only_the_gateways_reach_valkey_and_the_simulated_upstream() -> None:
    assert COMPOSE["networks"]["back"]["internal"] is True
    inside = {name for name, service in SERVICES.items() if "back" in service["networks"]}
    assert inside == {"gateway", "gateway-real", "valkey", "sandbox"}
    assert all("front" not in SERVICES[name]["networks"] for name in ("valkey", "sandbox"))


def test_ports_are_open_to_this_machine_only() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_prometheus_scrapes_the_port_of_the_metrics() -> None:
    (job,) = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    aliases = {
        alias for name in ("gateway", "gateway-real") for alias in SERVICES[name]["networks"]["front"]["aliases"]
    }
    assert set(found["names"]) == aliases
    ports = {SERVICES[name]["environment"]["TALLYGATE_METRICS_PORT"] for name in ("gateway", "gateway-real")}
    assert ports == {str(found["port"])}


def test_nginx_waits_longer_than_a_gateway_may_take_and_lets_connections_rest_less_long() -> None:
    configured = "".join((ROOT / "deploy/nginx" / name).read_text() for name in ("nginx.conf", "gateways.conf"))
    seconds = {name: float(value) for name, value in re.findall(r"^ *(\w+_timeout) (\d+)s;", configured, re.MULTILINE)}
    limit = {field.name: field.default for field in msgspec.structs.fields(HttpSettings)}["request_timeout_seconds"]
    assert seconds["keepalive_timeout"] < limit < seconds["proxy_read_timeout"]


def test_images_are_pinned_by_a_version() -> None:
    for service in SERVICES.values():
        assert re.search(r":v?\d", service["image"])


def test_the_key_of_the_demo_is_the_one_in_the_readme() -> None:
    path = ROOT / "k8s/overlays/sandbox/clients.toml"
    (caller,) = read_clients(str(path)).callers
    assert caller.key_sha256 == hash_key(DEMO_KEY)
    assert DEMO_KEY in (ROOT / "README.md").read_text()
    assert "demonstrations only" in path.read_text()
    assert tomllib.loads(path.read_text())
