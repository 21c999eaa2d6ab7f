"""Bill of materials of the image's Python packages, from the lock, as CycloneDX 1.6 (`make sbom`).

    python -m release.sbom < requirements.lock > sbom.json

It lists what the image has: without the packages that its recipe takes out.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
_PACKAGE = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def make_bill(lock: str, left_out: frozenset[str], version: str) -> dict[str, Any]:
    """Return the bill for a lock. A package has the hashes of all its files, of which the image has one."""
    found = list(_PACKAGE.finditer(lock))
    ends = [one.start() for one in found[1:]] + [len(lock)]
    components = [
        _component(one[1].lower(), one[2], _HASH.findall(lock, one.end(), end))
        for one, end in zip(found, ends, strict=True)
        if one[1].lower() not in left_out
    ]
    root = {"type": "application", "bom-ref": "tallygate", "name": "tallygate", "version": version}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": root},
        "components": components,
        "dependencies": [{"ref": "tallygate", "dependsOn": [one["bom-ref"] for one in components]}],
    }


def left_out_of_image() -> frozenset[str]:
    """Return the packages that the image's recipe uninstalls."""
    recipe = (ROOT / "Dockerfile").read_text()
    runs = [json.loads(line) for line in re.findall(r"^RUN (\[.*\])$", recipe, re.MULTILINE)]
    return frozenset(name for words in runs if "uninstall" in words for name in words[3:])


def _component(name: str, version: str, hashes: list[str]) -> dict[str, Any]:
    purl = f"pkg:pypi/{name}@{version}"
    files = [{"type": "distribution", "url": purl, "hashes": [{"alg": "SHA-256", "content": one}]} for one in hashes]
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        "externalReferences": files,
    }


def main() -> None:
    """Write the bill for the lock that is read."""
    project = (ROOT / "pyproject.toml").read_text()
    version = re.search(r'^version = "(.*)"$', project, re.MULTILINE)
    json.dump(make_bill(sys.stdin.read(), left_out_of_image(), version[1] if version else ""), sys.stdout, indent=2)


if __name__ == "__main__":
    main()
