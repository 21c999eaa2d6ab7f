"""The Helm chart says what the production overlay says: `helm template` compared with `kubectl kustomize`."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from tests.support.manifests import ROOT, render

HELM = Path(os.environ["WORK"]) / "helm"
CHART = ROOT / "deploy/helm/tallygate"


def template(*options: str) -> list[dict[str, Any]]:
    command = [str(HELM), "template", "production", str(CHART), "--namespace", "tallygate", *options]
    made = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    return [one for one in yaml.safe_load_all(made) if one]


def comparable(documents: Any) -> dict[str, Any]:
    """Index documents by kind and name. Helm and kustomize hash the settings differently."""
    found = {}
    for document in documents:
        text = re.sub(r"tallygate-settings-\w+", "tallygate-settings", yaml.safe_dump(document))
        plain = yaml.safe_load(text)
        found[f"{plain['kind']} {plain['metadata']['name']}"] = plain
    return found


def test_with_its_own_values_the_chart_is_the_production_overlay() -> None:
    overlay = comparable(one for one in render("production") if one["kind"] != "Namespace")
    assert comparable(template()) == overlay


def test_a_changed_setting_rolls_the_pods() -> None:
    names = set()
    for options in ((), ("--set", "settings.TALLYGATE_AUDIT=all")):
        (settings,) = (one for one in template(*options) if one["kind"] == "ConfigMap")
        (deployment,) = (one for one in template(*options) if one["kind"] == "Deployment")
        (source,) = deployment["spec"]["template"]["spec"]["containers"][0]["envFrom"]
        assert source["configMapRef"]["name"] == settings["metadata"]["name"]
        names.add(settings["metadata"]["name"])
    assert len(names) == 2


def test_without_the_operator_every_document_is_of_kubernetes() -> None:
    made = template("--set", "monitoring=false", "--set", "digest=sha256:" + 64 * "7")
    assert "Deployment" in {one["kind"] for one in made}
    for document in made:
        kubernetes_validate.validate(document, "1.37", strict=True)


def test_the_chart_has_no_complaint_about_itself() -> None:
    subprocess.run([str(HELM), "lint", "--strict", str(CHART)], check=True, capture_output=True, timeout=60)


@pytest.mark.parametrize(
    "value", ["image=r/tallygate:0.1.0", "image=r@sha256:7", "digest=0.1.0", "digest=", "digest=sha256:7"]
)
def test_a_tag_is_refused_in_place_of_a_digest(value: str) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        template("--set", value)
    assert template("--set", "image=r.example.com:5000/tallygate")
