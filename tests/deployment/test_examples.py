"""Examples for operators: they lead to what there is."""

import kubernetes_validate  # type: ignore[import-untyped]
import yaml

from tests.support.alerts import alerts
from tests.support.manifests import ROOT, of_kind

EXAMPLES = ROOT / "k8s/examples"


def test_the_ingress_leads_to_the_callers_port_with_tls() -> None:
    ingress = yaml.safe_load((EXAMPLES / "ingress.yaml").read_text())
    kubernetes_validate.validate(ingress, "1.37", strict=True)
    (rule,), (tls,) = ingress["spec"]["rules"], ingress["spec"]["tls"]
    assert tls["hosts"] == [rule["host"]]
    (path,) = rule["http"]["paths"]
    assert path["backend"]["service"] == {"name": "tallygate", "port": {"name": "http"}}


def test_the_route_leads_from_a_listener_with_tls_to_the_callers_port() -> None:
    gateway, route = yaml.safe_load_all((EXAMPLES / "gateway.yaml").read_text())
    (listener,) = gateway["spec"]["listeners"]
    assert (listener["protocol"], listener["tls"]["mode"]) == ("HTTPS", "Terminate")
    assert route["spec"]["parentRefs"] == [{"name": gateway["metadata"]["name"], "sectionName": listener["name"]}]
    assert route["spec"]["hostnames"] == [listener["hostname"]]
    (backend,) = route["spec"]["rules"][0]["backendRefs"]
    (service,) = of_kind("Service", "production")
    http = next(port["port"] for port in service["spec"]["ports"] if port["name"] == "http")
    assert backend == {"name": service["metadata"]["name"], "port": http}


def test_alertmanager_routes_every_severity_to_a_receiver_and_silences_alerts_that_exist() -> None:
    configured = yaml.safe_load((ROOT / "deploy/alertmanager/alertmanager.yml").read_text())
    receivers = {one["name"] for one in configured["receivers"]}
    route = configured["route"]
    assert {route["receiver"], *(one["receiver"] for one in route["routes"])} == receivers
    sources = {rule["source_matchers"][0].split('"')[1] for rule in configured["inhibit_rules"]}
    assert sources <= set(alerts())
