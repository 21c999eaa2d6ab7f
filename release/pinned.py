"""Refusal of manifests whose images are not pinned by a digest.

    kubectl kustomize k8s/overlays/production | python -m release.pinned | kubectl apply -f -

It writes what it read, or nothing and exits with 1. A tag can be moved after it was tested; a digest cannot.
"""

import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import yaml

PLACEHOLDER = "sha256:" + 64 * "0"
"""The digest of the production overlay as it comes. No image has it."""

_PINNED = re.compile(r"@sha256:[0-9a-f]{64}\Z")


def unpinned_images(documents: Iterable[dict[str, Any]]) -> list[str]:
    """Return the images without a digest of their own, in the order of the documents."""
    images = (image for document in documents for image in _images(document))
    return [image for image in images if not _PINNED.search(image) or image.endswith(PLACEHOLDER)]


def _images(found: Any) -> Iterator[str]:
    """Yield the images of all containers, however deep a document has them."""
    if isinstance(found, dict):
        for key, value in found.items():
            if key in {"containers", "initContainers", "ephemeralContainers"}:
                yield from (str(one["image"]) for one in value)
            else:
                yield from _images(value)
    elif isinstance(found, list):
        for one in found:
            yield from _images(one)


def main() -> None:
    """Pass manifests from standard input to standard output if all images are pinned."""
    text = sys.stdin.read()
    if refused := unpinned_images(one for one in yaml.safe_load_all(text) if one):
        sys.exit("Not pinned by a digest of your image: " + ", ".join(refused))
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
