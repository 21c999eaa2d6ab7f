"""The manifests as a cluster gets them: each overlay rendered by `kubectl kustomize`."""

import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
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
    with tempfile.TemporaryDirectory() as folder:
        added = {
            "resources": [os.path.relpath(ROOT / "k8s/overlays" / overlay, Path(folder).resolve())],
            "components": [os.path.relpath(ROOT / "k8s/components" / component, Path(folder).resolve())],
        }
        Path(folder, "kustomization.yaml").write_text(yaml.safe_dump(added))
        return _render(Path(folder))


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
