"""Tables: CSV that spreadsheets read as it was meant, text that stands in columns and moves no cursor."""

import csv
import io
import re
import unicodedata
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.rendering.tables import ColumnKind, Table, render_csv, render_text

COLUMNS = {"id": ColumnKind.PLAIN, "name": ColumnKind.NAME, "total": ColumnKind.NUMBER}


def table(rows: Sequence[tuple[str, ...]]) -> Table:
    return Table(COLUMNS, rows, "as of now")


def read(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode(), newline=""), strict=True))


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", "＝1"])  # noqa: RUF001
def test_a_name_is_never_a_formula(name: str) -> None:
    assert read(render_csv(table([("1", name, "5")])))[1] == ["1", f"'{name}", "5"]


def test_a_name_is_no_formula_either_where_a_semicolon_ends_a_cell() -> None:
    assert read(render_csv(table([("1", "a;=1+1;b-c", "5")])))[1] == ["1", "a;'=1+1;b-c", "5"]


@pytest.mark.parametrize("before", ["\n", "\r\n", "\t", "\0", "\x0b", "\x85", "\xa0", "\u2028"])
@pytest.mark.parametrize("start", ["", "x"])
def test_a_name_begins_no_line_or_cell_of_its_own(start: str, before: str) -> None:
    name = read(render_csv(table([("1", f"{start}{before}=1+1", "5")])))[1][1]
    assert name == start + "\N{REPLACEMENT CHARACTER}" * len(before) + "=1+1"


def test_an_amount_is_never_touched() -> None:
    assert render_csv(table([("1", "a", "-0.00000001")])) == b"id,name,total\r\n1,a,-0.00000001\r\n"


def test_quotes_and_commas_are_quoted() -> None:
    assert render_csv(table([("1", 'a "b", c', "5")])) == b'id,name,total\r\n1,"a ""b"", c",5\r\n'


@given(st.lists(st.text(st.characters(codec="utf-8")), min_size=1))
def test_csv_reads_back_as_it_was_written(names: list[str]) -> None:
    back = [row[1] for row in read(render_csv(table([("1", name, "5") for name in names])))][1:]
    shown = ["".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in name) for name in names]
    assert [one.replace("'", "") for one in back] == [name.replace("'", "") for name in shown]
    assert not [one for one in back if re.search("(^|;)[=+@-]", one)]


def test_numbers_stand_at_their_decimal_points() -> None:
    rows = [("1", "USDT", "1000"), ("22", "BTC", "-0.5"), ("3", "", "12.25"), ("4", "X", "")]
    assert render_text(table(rows)).decode() == (
        "id  name    total\n1   USDT  1000\n22  BTC     -0.5\n3           12.25\n4   X\n\nas of now\n"
    )


def test_columns_stand_below_each_other_whatever_the_script() -> None:
    lines = render_text(table([("1", "市场", "5"), ("2", "e\N{COMBINING ACUTE ACCENT}", "7")])).decode().split("\n")
    assert lines[1:3] == ["1   市场      5", "2   e\N{COMBINING ACUTE ACCENT}         7"]


def test_a_column_in_which_nothing_is_told_is_left_out_of_text_and_not_of_csv() -> None:
    rows = [("1", "", "5")]
    assert render_text(table(rows)).decode().split("\n")[0] == "id  total"
    assert read(render_csv(table(rows))) == [["id", "name", "total"], ["1", "", "5"]]


def test_without_rows_there_are_still_the_columns() -> None:
    assert render_text(table([])) == b"id  name  total\n\nas of now\n"
    assert render_csv(table([])) == b"id,name,total\r\n"


@given(st.text(st.characters(codec="utf-8")))
def test_no_name_moves_a_terminals_cursor(name: str) -> None:
    shown = render_text(table([("1", name, "5")])).decode()
    assert not [one for one in shown if unicodedata.category(one) in {"Cc", "Cf", "Zl", "Zp"} and one != "\n"]
    assert shown.count("\n") == 4
