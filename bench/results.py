"""Results of `make bench` in one file. Each benchmark replaces its own and keeps the others."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

RESULTS: Final = Path(__file__).parent / "results.json"


def record(found: Mapping[str, Any]) -> None:
    """Write results by name, replacing earlier ones of the same names."""
    known = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    RESULTS.write_text(json.dumps({**known, **found}, indent=1) + "\n", encoding="utf-8")
