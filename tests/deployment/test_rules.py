"""Rules, runbook and dashboard: one source, whole, and of things that exist."""

import re

import pytest
import yaml

from tests.support.alerts import SOURCE, Alert, alerts, dashboard_expressions
from tests.support.manifests import ROOT, of_kind
from tests.support.promql import Scrapes, evaluate, names_in

RUNBOOK = (ROOT / "docs/runbook.md").read_text()

each_alert = pytest.mark.parametrize("alert", alerts().values(), ids=lambda alert: str(alert.name))


def test_the_cluster_gets_the_rules_that_compose_gets() -> None:
    (rules,) = of_kind("PrometheusRule", "production")
    assert rules["spec"] == yaml.safe_load(SOURCE.read_text())


@each_alert
def test_every_alert_leads_to_its_section_in_the_runbook(alert: Alert) -> None:
    page, _, anchor = alert.annotations["runbook_url"].partition("#")
    assert re.fullmatch(r"https://.*/runbook.md", page)
    assert anchor == alert.name.lower()
    section = RUNBOOK.partition(f"\n## {alert.name}\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\*\*(.*?)\*\*", section, re.MULTILINE) == ["Users see", "Means", "Do"]


def test_the_runbook_names_no_alert_that_is_gone() -> None:
    assert re.findall(r"^## (.*)$", RUNBOOK, re.MULTILINE) == list(alerts())


@each_alert
def test_every_rule_is_of_the_part_of_promql_that_we_can_judge(alert: Alert) -> None:
    empty = Scrapes()
    empty.add(0, "")
    assert bool(evaluate(alert.expression, empty, 0)) is (alert.name == "TallygateDown")
    assert list(names_in(alert.expression))


def test_the_dashboard_asks_in_promql() -> None:
    expressions = list(dashboard_expressions())
    assert len(expressions) > 20
    assert all(list(names_in(expression)) for expression in expressions)


def test_an_alert_fires_only_when_its_condition_lasts() -> None:
    alert = Alert("Away", "min(up) < 1", 60, {})
    scrapes = Scrapes()
    for at, up in ((0, 0), (30, 1), (60, 0), (90, 0)):
        scrapes.add(at, f"# TYPE up gauge\nup {up}\n")
    assert not alert.fires(scrapes)
    scrapes.add(120, "# TYPE up gauge\nup 0\n")
    assert alert.fires(scrapes)
