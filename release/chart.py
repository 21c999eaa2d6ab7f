"""Make the Helm chart from the production overlay, so that kustomize and Helm have one source (`make chart`).

    kubectl kustomize k8s/overlays/production | python -m release.chart

Each entry of `VALUES` is one place in one document, and the value that a chart puts there.
"""

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

TEMPLATES = Path(__file__).parents[1] / "deploy/helm/tallygate/templates"
_MADE = "# Made from k8s/overlays/production by `make chart`.\n"
OPERATOR = "monitoring.coreos.com/"
"""The API group of the Prometheus operator, whose documents the chart has on demand."""

VALUES: dict[tuple[str, str], dict[str, str]] = {
    ("Deployment", "tallygate"): {
        "spec.template.spec.containers.0.image": 'printf "%s@%s" .Values.image .Values.digest',
        "spec.template.spec.containers.0.resources": "toYaml .Values.resources | nindent 10",
        "spec.template.spec.containers.0.envFrom.0.configMapRef.name": 'include "tallygate.settings" .',
        "spec.template.spec.priorityClassName": ".Values.priorityClass.name",
    },
    ("ConfigMap", "tallygate-settings"): {
        "metadata.name": 'include "tallygate.settings" .',
        "data": "toYaml .Values.settings | nindent 2",
    },
    ("HorizontalPodAutoscaler", "tallygate"): {
        "spec.minReplicas": ".Values.replicas.min",
        "spec.maxReplicas": ".Values.replicas.max",
    },
    ("ServiceAccount", "tallygate"): {"imagePullSecrets": "toYaml .Values.imagePullSecrets | nindent 2"},
    ("PriorityClass", "tallygate"): {
        "metadata.name": ".Values.priorityClass.name",
        "value": ".Values.priorityClass.value",
    },
    ("NetworkPolicy", "gateway-is-asked"): {
        "spec.ingress.0.from.0.namespaceSelector.matchExpressions.0.values": "toYaml .Values.callers | nindent 10",
    },
    ("NetworkPolicy", "gateway-asks-outside"): {"spec.egress": "toYaml .Values.egress | nindent 2"},
}


def make_templates(documents: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Return the templates by file name. A namespace is Helm's own to make."""
    return {
        f"{one['kind'].lower()}-{base_name(one)}.yaml": _MADE + _make_template(one)
        for one in documents
        if one["kind"] != "Namespace"
    }


def _make_template(document: dict[str, Any]) -> str:
    """Return a document as a template. Raises `KeyError` for a place that the document has not."""
    metadata = document["metadata"]
    if "namespace" in metadata:
        metadata["namespace"] = "@@.Release.Namespace@@"
    metadata["labels"]["app.kubernetes.io/instance"] = "@@.Release.Name@@"
    pod = document.get("spec", {}).get("template", {}).get("metadata", {})
    if pod:
        pod["labels"]["app.kubernetes.io/instance"] = "@@.Release.Name@@"
    for path, value in VALUES.get((document["kind"], base_name(document)), {}).items():
        _put(document, path, f"@@{value}@@")
    text = yaml.safe_dump(document, sort_keys=False, width=1_000_000).replace("{{", "{{ `{{` }}")
    text = re.sub(r"'?@@(.*?)@@'?", lambda found: "{{ " + found[1].replace("''", "'") + " }}", text)
    return f"{{{{ if .Values.monitoring }}}}\n{text}{{{{ end }}}}\n" if _is_monitoring(document) else text


def base_name(document: dict[str, Any]) -> str:
    """Return a document's name without the hash that kustomize appends."""
    return re.sub(r"(settings)-\w+$", r"\1", str(document["metadata"]["name"]))


def _is_monitoring(document: dict[str, Any]) -> bool:
    return str(document["apiVersion"]).startswith(OPERATOR) or base_name(document) == "gateway-is-measured"


def _put(document: Any, path: str, value: str) -> None:
    *parents, last = (int(part) if part.isdigit() else part for part in path.split("."))
    for parent in parents:
        document = document[parent]
    document[last]  # it has to be there
    document[last] = value


def main() -> None:
    """Write one template for each document."""
    for old in TEMPLATES.glob("*.yaml"):
        old.unlink()
    for name, text in make_templates(yaml.safe_load_all(sys.stdin)).items():
        (TEMPLATES / name).write_text(text)


if __name__ == "__main__":
    main()
