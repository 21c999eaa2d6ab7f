"""What a cluster is given: valid, restricted, closed, and in step with the service's settings."""

import re
import textwrap
import tomllib
from pathlib import PurePosixPath

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from app.access.clients_file import parse_clients
from app.settings.environment import read_settings, unknown_settings
from tests.support.manifests import (
    OVERLAYS,
    ROOT,
    Document,
    containers,
    of_kind,
    pods,
    render,
    render_changed,
    render_with,
)

VERSIONS = ("1.31", "1.34", "1.37")
OURS = {"ServiceMonitor", "PrometheusRule"}
"""Kinds of the Prometheus operator, which Kubernetes' own schemas do not know."""

each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


@each_overlay
@pytest.mark.parametrize("version", VERSIONS)
def test_every_document_fits_the_schemas_of_kubernetes(overlay: str, version: str) -> None:
    for document in render(overlay):
        if document["kind"] not in OURS:
            kubernetes_validate.validate(document, version, strict=True)


def test_the_monitor_finds_the_service_by_a_port_that_it_has() -> None:
    (monitor,) = of_kind("ServiceMonitor", "production")
    service = next(one for one in of_kind("Service", "production") if one["metadata"]["name"] == "tallygate")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    ports = {port["name"] for port in service["spec"]["ports"]}
    assert {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]} <= ports


@each_overlay
def test_the_namespace_enforces_the_restricted_profile_and_warns_of_what_breaks_it(overlay: str) -> None:
    (namespace,) = of_kind("Namespace", overlay)
    labels = namespace["metadata"]["labels"]
    assert {labels[f"pod-security.kubernetes.io/{mode}"] for mode in ("enforce", "warn", "audit")} == {"restricted"}


@each_overlay
def test_everything_says_what_it_is_of_which_release_and_which_version(overlay: str) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for document in render(overlay):
        labels = document["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == overlay
    for found in of_kind("Deployment", overlay):
        if found["metadata"]["name"] == "tallygate":
            labels = found["spec"]["template"]["metadata"]["labels"]
            assert labels["app.kubernetes.io/version"] == version
            assert labels["app.kubernetes.io/component"] == "gateway"
            assert found["spec"]["minReadySeconds"] > 0


def test_production_goes_before_what_can_wait_and_logs_in_to_its_registry() -> None:
    (priority,) = of_kind("PriorityClass", "production")
    assert pods("production")["tallygate"]["priorityClassName"] == priority["metadata"]["name"]
    (account,) = of_kind("ServiceAccount", "production")
    assert account["imagePullSecrets"] == [{"name": "tallygate-registry"}]


def test_openshift_chooses_the_ids_and_answers_for_names() -> None:
    for document in render("openshift"):
        if document["kind"] not in OURS:
            kubernetes_validate.validate(document, VERSIONS[-1], strict=True)
    security = pods("openshift")["tallygate"]["securityContext"]
    assert security == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    added = [one for one in of_kind("NetworkPolicy", "openshift") if "openshift-dns" in str(one)]
    assert [port["port"] for port in added[0]["spec"]["egress"][0]["ports"]] == [5353, 5353]


def test_a_managed_redis_is_reached_through_a_component_of_its_own() -> None:
    after = render_with("managed-redis", "production")
    (policy,) = [one for one in after if one not in render("production")]
    kubernetes_validate.validate(policy, VERSIONS[-1], strict=True)
    assert {port["port"] for port in policy["spec"]["egress"][0]["ports"]} == {6379, 6380}


def test_a_history_that_is_kept_has_its_url_in_the_secret_and_nothing_else_changes() -> None:
    before, after = render("production"), render_with("kept-history", "production")
    (settings,) = (one["data"] for one in after if one["metadata"]["name"].startswith("tallygate-settings"))
    (former,) = (one["data"] for one in before if one["metadata"]["name"].startswith("tallygate-settings"))
    folder = PurePosixPath(settings["TALLYGATE_REDIS_URL_FILE"]).parent
    assert settings == {**former, "TALLYGATE_HISTORY_REDIS_URL_FILE": str(folder / "history-redis-url")}
    assert list(unknown_settings(settings)) == []


@each_overlay
def test_no_pod_runs_as_root_or_holds_a_token_of_the_cluster(overlay: str) -> None:
    for pod in pods(overlay).values():
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()


@each_overlay
def test_no_container_writes_to_its_image_or_gains_rights(overlay: str) -> None:
    for container in containers(overlay):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


@each_overlay
def test_every_container_is_probed_and_bounded(overlay: str) -> None:
    for container in containers(overlay):
        assert {"livenessProbe", "readinessProbe"} <= container.keys()
        assert container["resources"]["requests"].keys() == {"cpu", "memory", "ephemeral-storage"}
        assert container["resources"]["limits"].keys() == {"memory", "ephemeral-storage"}
        assert ":" in container["image"]
        assert not container["image"].endswith(":latest")


@each_overlay
def test_no_probe_of_the_gateway_competes_with_callers(overlay: str) -> None:
    (gateway,) = pods(overlay)["tallygate"]["containers"]
    probed = {name: probe["httpGet"] for name, probe in gateway.items() if name.endswith("Probe")}
    live, ready = ({"path": path, "port": "metrics"} for path in ("/health/live", "/health/ready"))
    assert probed == {"startupProbe": live, "livenessProbe": live, "readinessProbe": ready}


@each_overlay
def test_secrets_come_as_files_and_never_in_the_environment(overlay: str) -> None:
    for container in containers(overlay):
        assert not [source for source in container.get("envFrom", []) if "secretRef" in source]
        assert not container.get("env")
    for settings in of_kind("ConfigMap", overlay):
        assert not settings["data"].keys() & {"TALLYGATE_UPSTREAM_TOKEN", "TALLYGATE_REDIS_URL"}


@each_overlay
def test_secret_files_are_the_groups_to_read_and_nobody_elses(overlay: str) -> None:
    pod = pods(overlay)["tallygate"]
    (volume,) = [volume for volume in pod["volumes"] if "secret" in volume]
    assert volume["secret"]["defaultMode"] == 0o440
    assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsGroup"]


@each_overlay
def test_every_setting_exists_and_every_file_is_where_the_secret_is_mounted(overlay: str) -> None:
    (settings,) = of_kind("ConfigMap", overlay)
    assert list(unknown_settings(settings["data"])) == []
    (mount,) = [
        mount for mount in pods(overlay)["tallygate"]["containers"][0]["volumeMounts"] if mount["name"] == "secrets"
    ]
    files = [value for name, value in settings["data"].items() if name.endswith("_FILE")]
    assert len(files) == 3
    assert {file.rpartition("/")[0] for file in files} == {mount["mountPath"]}


@each_overlay
def test_the_ports_are_those_of_the_settings(overlay: str) -> None:
    (settings,) = of_kind("ConfigMap", overlay)
    (container,) = pods(overlay)["tallygate"]["containers"]
    ports = {port["name"]: str(port["containerPort"]) for port in container["ports"]}
    assert ports == {"http": "8080", "metrics": settings["data"]["TALLYGATE_METRICS_PORT"]}


def test_keys_of_service_accounts_are_fetched_with_what_the_component_mounts_and_nothing_else_changes() -> None:
    readme = (ROOT / "README.md").read_text()
    (text,) = (block.partition("```")[0] for block in readme.split("```toml\n") if block.startswith("[[issuer]]"))
    source = next(issuer.source for issuer in parse_clients(text, "x").issuers if issuer.name == "k8s")
    before, after = render("production"), render_with("service-accounts", "production")
    assert len(after) == len(before) + 1
    changed = [document for document in after if document not in before]
    for document in changed:
        kubernetes_validate.validate(document, VERSIONS[-1], strict=True)
    gateway, policy = sorted(changed, key=lambda document: str(document["kind"]))
    pod = gateway["spec"]["template"]["spec"]
    volume, mount = pod["volumes"][-1], pod["containers"][0]["volumeMounts"][-1]
    assert (volume["name"], mount["readOnly"]) == (mount["name"], True)
    assert volume["projected"]["defaultMode"] == 0o440
    token, authority = volume["projected"]["sources"]
    assert f"{mount['mountPath']}/{token['serviceAccountToken']['path']}" == source.bearer_file
    assert [f"{mount['mountPath']}/{item['path']}" for item in authority["configMap"]["items"]] == [source.ca_file]
    assert "audience" not in token["serviceAccountToken"]  # it is for the cluster itself
    assert [peer["ipBlock"]["cidr"] for peer in policy["spec"]["egress"][0]["to"]] == ["192.0.2.1/32"]


def test_the_label_of_the_page_is_put_on_what_an_operator_selects_and_on_nothing_else() -> None:
    patches, _ = page_examples()
    changed = [one for one in render_changed("production", patches) if one not in render("production")]
    assert {document["kind"] for document in changed} == OURS
    assert all(document["metadata"]["labels"]["release"] for document in changed)


def test_the_policy_of_the_page_opens_the_way_to_a_collector_and_no_other() -> None:
    _, policy = page_examples()
    kubernetes_validate.validate(policy, VERSIONS[-1], strict=True)
    (gateway,) = [one for one in of_kind("NetworkPolicy", "production") if one["metadata"]["name"] == "gateway-asks"]
    assert policy["spec"]["podSelector"] == gateway["spec"]["podSelector"]
    assert policy["spec"]["policyTypes"] == ["Egress"]
    (rule,) = policy["spec"]["egress"]
    assert rule["to"]
    assert rule["ports"] == [{"port": 4318}]


def page_examples() -> list[Document]:
    """Give what docs/kubernetes.md shows as YAML."""
    page = (ROOT / "docs/kubernetes.md").read_text()
    return [yaml.safe_load(textwrap.dedent(block)) for block in re.findall(r"```yaml\n(.*?) *```", page, re.DOTALL)]


def test_the_sandbox_is_asked_through_the_port_that_its_service_has() -> None:
    asked = "kubectl -n tallygate-sandbox port-forward svc/tallygate 8080:80"
    (port,) = [
        port["port"]
        for service in of_kind("Service", "sandbox")
        if (service["metadata"]["namespace"], service["metadata"]["name"]) == ("tallygate-sandbox", "tallygate")
        for port in service["spec"]["ports"]
        if port["targetPort"] == "http"
    ]
    assert asked.endswith(f":{port}")
    assert all(asked in (ROOT / page).read_text() for page in ("README.md", "docs/kubernetes.md"))


def test_the_sandbox_brings_every_file_that_its_settings_name() -> None:
    (settings,) = of_kind("ConfigMap", "sandbox")
    (secret,) = of_kind("Secret", "sandbox")
    files = {value.rpartition("/")[2] for name, value in settings["data"].items() if name.endswith("_FILE")}
    assert secret.get("data", {}).keys() == files


def test_production_brings_no_secret_of_its_own() -> None:
    assert of_kind("Secret", "production") == []


@each_overlay
def test_a_pod_is_given_the_time_that_it_takes_to_drain(overlay: str) -> None:
    (settings,) = of_kind("ConfigMap", overlay)
    plain = {name: value for name, value in settings["data"].items() if not name.endswith("_FILE")}
    read = read_settings({**plain, "TALLYGATE_UPSTREAM_TOKEN": "x", "TALLYGATE_CLIENTS_FILE": "x"})
    grace_seconds = pods(overlay)["tallygate"]["terminationGracePeriodSeconds"]
    assert grace_seconds >= read.process.drain_seconds + 2 * read.upstream.timeout_seconds + 5


@each_overlay
def test_the_autoscaler_alone_says_how_many_replicas_there_are(overlay: str) -> None:
    (scaler,) = of_kind("HorizontalPodAutoscaler", overlay)
    gateway = next(one for one in of_kind("Deployment", overlay) if one["metadata"]["name"] == "tallygate")
    assert "replicas" not in gateway["spec"]
    assert scaler["spec"]["minReplicas"] >= 2
    assert scaler["spec"]["scaleTargetRef"]["name"] == "tallygate"
    (disruption,) = of_kind("PodDisruptionBudget", overlay)
    assert disruption["spec"]["selector"] == gateway["spec"]["selector"]
