"""Rules and dashboard as files, and the judgement of a rule over scrapes."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import promql_parser
import yaml

from tests.support.manifests import ROOT
from tests.support.promql import Scrapes, evaluate

SOURCE = ROOT / "deploy/prometheus/rules.yml"


@dataclass(frozen=True)
class Alert:
    """An alerting rule; `hold_seconds` is how long its condition must last before it fires."""

    name: str
    expression: str
    hold_seconds: float
    annotations: dict[str, str]

    def fires(self, scrapes: Scrapes) -> bool:
        """Tell whether it fires at the last scrape, being evaluated at each."""
        since: float | None = None
        for now in scrapes.times:
            true = bool(evaluate(self.expression, scrapes, now))
            since = (now if since is None else since) if true else None
        return since is not None and scrapes.times[-1] - since >= self.hold_seconds


def alerts() -> dict[str, Alert]:
    """Read the rules, by their names."""
    (group,) = yaml.safe_load(SOURCE.read_text())["groups"]
    return {rule["alert"]: _read(rule) for rule in group["rules"]}


def dashboard_expressions() -> Iterator[str]:
    """Give what the dashboard asks Prometheus, with an interval where Grafana puts one."""
    board = json.loads((ROOT / "deploy/grafana/dashboards/tallygate.json").read_text())
    for panel in board["panels"]:
        for target in panel["targets"]:
            yield target["expr"].replace("$__rate_interval", "1m")


def _read(rule: dict[str, Any]) -> Alert:
    hold_seconds = promql_parser.parse_duration(rule["for"]).total_seconds() if "for" in rule else 0
    return Alert(rule["alert"], rule["expr"], hold_seconds, rule["annotations"])
