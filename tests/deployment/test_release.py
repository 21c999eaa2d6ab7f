"""What a release brings besides the image: a chart in step with kustomize, and a bill that lists what the image has."""

import copy
import json
import re
import subprocess
import sys
import tomllib

import pytest
import yaml

from release.chart import TEMPLATES, VALUES, base_name, make_templates
from release.pinned import PLACEHOLDER, unpinned_images
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
    assert {"httptools", "litestar"} <= names
    assert sum(len(one["externalReferences"]) for one in bill["components"]) > len(names)
    assert all(one["purl"] == f"pkg:pypi/{one['name']}@{one['version']}" for one in bill["components"])
    assert bill["dependencies"][0]["dependsOn"] == [one["bom-ref"] for one in bill["components"]]


def test_the_command_writes_the_bill() -> None:
    command = [sys.executable, "-m", "release.sbom"]
    written = subprocess.run(command, input=LOCK, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert json.loads(written)["metadata"]["component"]["version"] == VERSION


DIGEST = "sha256:" + 64 * "7"


@pytest.mark.parametrize("overlay", ["production", "openshift"])
def test_production_as_it_comes_is_refused_until_a_digest_is_set(overlay: str) -> None:
    documents = render(overlay)
    assert unpinned_images(documents) == [f"registry.example.com/tallygate@{PLACEHOLDER}"]
    changed = yaml.safe_load(json.dumps(documents).replace(PLACEHOLDER, DIGEST))
    assert unpinned_images(changed) == []


@pytest.mark.parametrize(
    "image", ["tallygate", "r.example.com:5000/tallygate", "r/tallygate:0.1.0", "r/tallygate@sha256:77", f"r@{DIGEST}x"]
)
@pytest.mark.parametrize("kind", ["containers", "initContainers"])
def test_an_image_with_a_tag_is_refused_wherever_a_document_has_it(image: str, kind: str) -> None:
    pod = {"containers": [{"image": f"r@{DIGEST}"}], kind: [{"image": f"r@{DIGEST}"}, {"image": image}]}
    assert unpinned_images([{"spec": {"jobTemplate": {"spec": {"template": {"spec": pod}}}}}]) == [image]


@pytest.mark.parametrize(("digest", "status"), [(DIGEST, 0), (PLACEHOLDER, 1)])
def test_the_filter_passes_manifests_on_or_nothing(digest: str, status: int) -> None:
    text = f"spec:\n  containers:\n  - image: r@{digest}  # ours\n"
    command = [sys.executable, "-m", "release.pinned"]
    done = subprocess.run(command, input=text, cwd=ROOT, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (status, "" if status else text)
    assert (PLACEHOLDER in done.stderr) == bool(status)


def test_every_placeholder_is_in_the_one_table_of_what_is_yours_to_set() -> None:
    page = (ROOT / "docs/publishing.md").read_text().partition("## Yours to set")[2].partition("\n## ")[0]
    files = [ROOT / "Dockerfile", *(ROOT / "deploy").rglob("*.y*ml"), *(ROOT / "k8s").rglob("*.yaml")]
    named = re.compile(r"[\w.-]+\.example\.(?:com|org|net)|LicenseRef-\w+|192\.0\.2\.\d+/\d+|sha256:000")
    found = {(placeholder, path) for path in files for placeholder in named.findall(path.read_text())}
    assert {placeholder for placeholder, _ in found} >= {"registry.example.com", "docs.example.com"}
    for placeholder, path in found:
        rows = [row for row in page.splitlines() if placeholder in row]
        where = path.relative_to(ROOT).as_posix()
        made = where.startswith("k8s/components/monitoring/") or "/templates/" in where
        assert made or any(place in where for row in rows for place in re.findall(r"`((?:\w+/)*[\w/.-]+)`", row)), where
