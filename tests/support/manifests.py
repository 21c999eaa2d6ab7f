"""The manifests as a cluster gets them: each overlay rendered by `kubectl kustomize`."""

import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
OVERLAYS = ("sandbox", "production")

Document = dict[str, Any]


@functools.cache
def render(overlay: str) -> tuple[Document, ...]:
    """Render an overlay."""
    return _render(ROOT / "k8s/overlays" / overlay)


def render_with(component: str, overlay: str) -> tuple[Document, ...]:
    """Render an overlay with a component that it does not have itself."""
    return render_changed(overlay, {"components": [ROOT / "k8s/components" / component]})


def render_changed(overlay: str, changes: Mapping[str, Any]) -> tuple[Document, ...]:
    """Render an overlay with what a kustomization may say besides; paths lead to files of ours."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        paths = {key: [_from(folder, one) for one in value] for key, value in changes.items()}
        added = {"resources": [_from(folder, ROOT / "k8s/overlays" / overlay)], **paths}
        Path(folder, "kustomization.yaml").write_text(yaml.safe_dump(added))
        return _render(folder)


def _from(folder: Path, what: Any) -> Any:
    return os.path.relpath(what, folder) if isinstance(what, Path) else what


def _render(folder: Path) -> tuple[Document, ...]:
    kubectl = Path(sys.executable).with_name("kubectl")
    command = [str(kubectl), "kustomize", str(folder)]
    rendered = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return tuple(yaml.safe_load_all(rendered.stdout))


def of_kind(kind: str, overlay: str) -> list[Document]:
    """Give the rendered documents of a kind."""
    return [document for document in render(overlay) if document["kind"] == kind]


def pods(overlay: str) -> dict[str, Document]:
    """Give the pod templates' specs, by the name of their deployment."""
    return {found["metadata"]["name"]: found["spec"]["template"]["spec"] for found in of_kind("Deployment", overlay)}


def containers(overlay: str) -> Iterator[Document]:
    """Give every container."""
    for pod in pods(overlay).values():
        yield from (*pod.get("initContainers", []), *pod["containers"])
