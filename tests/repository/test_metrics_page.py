"""Every metric of a real scrape is explained in docs/operating.md, with its labels, and nothing else is."""

import re
from pathlib import Path

from app.telemetry.exposition import Exposition
from app.telemetry.families import Gauge
from app.telemetry.metrics import Metrics
from tests.support.scrapes import Scraped

PAGE = (Path(__file__).parents[2] / "docs" / "operating.md").read_text()
NAME = re.compile(r"`((?:tallygate|process)_[a-z_]+)(?:\{([a-z,]+)\})?`")
MARKS = {"sum": "s", "min": "↓", "max": "↑"}


def rows() -> list[str]:
    """The rows of the table of metrics."""
    return [line for line in PAGE.splitlines() if re.match(r"\| `(?:tallygate|process)_", line)]


def test_the_page_explains_what_a_scrape_shows_and_nothing_else() -> None:
    scraped = Scraped(Exposition(Metrics("1")).page("").body.decode())
    shown = {f"{name}_total" if family.type == "counter" else name for name, family in scraped.families.items()}
    assert {name for row in rows() for name, _ in NAME.findall(row.split("|")[1])} == shown


def test_labels_and_the_way_that_workers_are_merged_are_as_the_page_says() -> None:
    explained = {}
    for row in rows():
        subject = row.split("|")[1]
        for name, labels in NAME.findall(subject):
            explained[name] = (labels, subject.split("`")[-1].strip())
    for family in Metrics("1").families():
        mark = MARKS[family.merge] if isinstance(family, Gauge) and family.name != "tallygate_build_info" else ""
        assert explained[family.name] == (",".join(family.labels), mark), family.name
