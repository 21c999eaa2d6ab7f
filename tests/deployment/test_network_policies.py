"""Who may talk to whom in the cluster, read from the rendered policies as a cluster reads them."""

import pytest

from tests.support.manifests import OVERLAYS, Document, of_kind

each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


def selects(selector: Document, name: str) -> bool:
    """Tell whether a selector of pods selects those of this name."""
    labels = selector.get("matchLabels", {})
    wanted = [one["values"] for one in selector.get("matchExpressions", [])]
    return labels in ({}, {"app.kubernetes.io/name": name}) and all(name in values for values in wanted)


def rules(overlay: str, direction: str, name: str) -> list[Document]:
    """Give the rules, `ingress` or `egress`, that apply to the pods of this name."""
    policies = [policy["spec"] for policy in of_kind("NetworkPolicy", overlay)]
    return [
        rule
        for policy in policies
        if direction.capitalize() in policy["policyTypes"] and selects(policy["podSelector"], name)
        for rule in policy.get(direction, [])
    ]


def ports(rule: Document) -> set[object]:
    """Give the ports of a rule. One without any is for all, and fails."""
    return {port["port"] for port in rule["ports"]}


@each_overlay
def test_what_no_policy_names_is_closed(overlay: str) -> None:
    everything = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert everything in [policy["spec"] for policy in of_kind("NetworkPolicy", overlay)]
    assert rules(overlay, "ingress", "stranger") == []
    assert rules(overlay, "egress", "stranger") == []


@each_overlay
def test_only_named_namespaces_reach_the_gateway(overlay: str) -> None:
    for rule in rules(overlay, "ingress", "tallygate"):
        assert ports(rule)
        for peer in rule["from"]:
            selector = peer["namespaceSelector"]
            named = [one for one in selector.get("matchExpressions", []) if one["operator"] == "In" and one["values"]]
            assert selector.get("matchLabels") or named


def test_prometheus_reaches_the_metrics_and_those_who_ask_do_not() -> None:
    reached = {
        str(peer["namespaceSelector"]): ports(rule)
        for rule in rules("production", "ingress", "tallygate")
        for peer in rule["from"]
    }
    assert [found for names, found in reached.items() if "monitoring" in names] == [{"metrics"}]
    assert [found for names, found in reached.items() if "monitoring" not in names] == [{"http"}]


@each_overlay
def test_the_gateway_leaves_for_names_redis_and_the_upstream_only(overlay: str) -> None:
    leaving = set().union(*(ports(rule) for rule in rules(overlay, "egress", "tallygate")))
    upstream = {"sandbox": {8090}, "production": {443}}[overlay]
    assert leaving - {26379} == {53, 6379} | upstream
    assert all(rule["to"] for rule in rules(overlay, "egress", "tallygate"))


@pytest.mark.parametrize("name", ["valkey", "upstream"])
def test_only_the_gateway_reaches_redis_and_the_upstream(name: str) -> None:
    (rule,) = rules("sandbox", "ingress", name)
    assert rule["from"] == [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "tallygate"}}}]
    assert rules("sandbox", "egress", name) == []


def test_the_way_to_the_internet_does_not_lead_into_the_cluster() -> None:
    blocks = [
        peer["ipBlock"]
        for rule in rules("production", "egress", "tallygate")
        for peer in rule["to"]
        if "ipBlock" in peer
    ]
    assert blocks
    assert {"cidr": "2000::/3"} in blocks  # neither fc00::/7, which is private, nor fe80::/10
    assert {"cidr": "169.254.20.10/32"} in blocks  # NodeLocal DNSCache, at the port of names alone
    for block in (one for one in blocks if one["cidr"] == "0.0.0.0/0"):
        assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"} <= set(block["except"])
