"""Tables: columns and rows as CSV for spreadsheets, or aligned for a terminal."""

import csv
import io
import re
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Final
from unicodedata import combining, east_asian_width

from msgspec import Struct


class ColumnKind(Enum):
    """What a column holds."""

    PLAIN = auto()
    """Our own text: ids, times, words."""
    NAME = auto()
    """Foreign text: it must not act as a formula, nor move a terminal's cursor."""
    NUMBER = auto()
    """Decimal text, shown as it is."""


class Table(Struct, frozen=True):
    """Columns by name, rows with one text for each column, empty where it is unknown, and a note on the whole."""

    columns: dict[str, ColumnKind]
    rows: Sequence[tuple[str, ...]]
    note: str


_FORMULA: Final = re.compile(r"(?:^|(?<=;))(?=[=+\-@＝＋－＠])")  # noqa: RUF001  # the wide ones are meant
"""Where a formula could begin. Spreadsheets of some locales end a cell at `;`."""

_GAP: Final = "  "


def render_csv(table: Table) -> bytes:
    """Encode a table as CSV (RFC 4180) with a header row.

    A name that a spreadsheet would take for a formula gets a `'`. Its unprintable characters become replacement
    characters, so that none starts a line or a cell.
    """
    names = [place for place, kind in enumerate(table.columns.values()) if kind is ColumnKind.NAME]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(table.columns)
    for row in table.rows:
        cells = list(row)
        for place in names:
            cells[place] = _FORMULA.sub("'", _show(cells[place]))
        writer.writerow(cells)
    return text.getvalue().encode()


def render_text(table: Table) -> bytes:
    """Align a table for a terminal, numbers at their decimal points, with the note below it.

    Empty columns are left out, and unprintable characters become replacement characters.
    """
    columns = [
        _align(name, kind, list(map(_show, cells)))
        for (name, kind), cells in zip(table.columns.items(), _columns_of(table), strict=True)
        if any(cells) or not table.rows
    ]
    lines = [_GAP.join(cells).rstrip() for cells in zip(*columns, strict=True)]
    return "\n".join([*lines, "", _show(table.note), ""]).encode()


def _columns_of(table: Table) -> Sequence[tuple[str, ...]]:
    return list(zip(*table.rows, strict=True)) or [()] * len(table.columns)


def _show(cell: str) -> str:
    if cell.isprintable():
        return cell
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in cell)


def _align(name: str, kind: ColumnKind, cells: list[str]) -> list[str]:
    """Pad the name and the cells of a column to one width."""
    pad: Callable[[str, int], str] = _pad_right
    if kind is ColumnKind.NUMBER:
        after = max((len(_fraction(cell)) for cell in cells), default=0)
        cells = [cell + " " * (after - len(_fraction(cell))) for cell in cells]
        pad = str.rjust
    width = max(map(_width, (name, *cells)))
    return [pad(cell, width) for cell in (name, *cells)]


def _fraction(amount: str) -> str:
    """Return the text from the decimal point on."""
    return amount[amount.index(".") :] if "." in amount else ""


def _pad_right(cell: str, width: int) -> str:
    return cell + " " * (width - _width(cell))


def _width(cell: str) -> int:
    """Count terminal columns: an East Asian wide character takes two, a combining one none."""
    if cell.isascii():
        return len(cell)
    return sum(0 if combining(one) else 2 if east_asian_width(one) in "WF" else 1 for one in cell)
