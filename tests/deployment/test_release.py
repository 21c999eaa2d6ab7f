"""What a release brings besides the image: a chart in step with kustomize, and a bill that lists what the image has."""

import copy
import json
import re
import subprocess
import sys
import tomllib

import yaml

from release.chart import TEMPLATES, VALUES, base_name, make_templates
from release.sbom import left_out_of_image, make_bill
from tests.support.manifests import ROOT, render

LOCK = (ROOT / "requirements.lock").read_text()
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_the_chart_is_made_from_the_production_overlay_as_it_is_now() -> None:
    made = make_templates(copy.deepcopy(render("production")))
    assert made == {path.name: path.read_text() for path in TEMPLATES.glob("*.yaml")}
    assert VALUES.keys() <= {(one["kind"], base_name(one)) for one in render("production")}


def test_the_chart_has_the_version_of_the_project() -> None:
    chart = yaml.safe_load((TEMPLATES.parent / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (VERSION, VERSION)
    assert f"\n## [{VERSION}]" in (ROOT / "CHANGELOG.md").read_text()


def test_every_locked_package_of_the_image_is_in_the_bill_with_its_hashes() -> None:
    bill = make_bill(LOCK, left_out_of_image(), VERSION)
    locked = {name.lower() for name in re.findall(r"^([\w.-]+)==", LOCK, re.MULTILINE)}
    names = {one["name"] for one in bill["components"]}
    assert names == locked - left_out_of_image()
    assert {"granian", "litestar"} <= names
    assert sum(len(one["externalReferences"]) for one in bill["components"]) > len(names)
    assert all(one["purl"] == f"pkg:pypi/{one['name']}@{one['version']}" for one in bill["components"])
    assert bill["dependencies"][0]["dependsOn"] == [one["bom-ref"] for one in bill["components"]]


def test_the_command_writes_the_bill() -> None:
    command = [sys.executable, "-m", "release.sbom"]
    written = subprocess.run(command, input=LOCK, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert json.loads(written)["metadata"]["component"]["version"] == VERSION
