"""The records of a file: lines, quotes, and what one bad record does to the others."""

import io

import pytest

from imports.csv.file_format import FileFormat, UnreadableFile
from imports.csv.formulas import escape_formula, restored
from imports.csv.records import MAX_COLUMNS, MAX_LINE_LENGTH, Records
from imports.csv.values import as_json, cast


def read(text: str, *, header: bool = True) -> list[tuple[int, list[str], bool]]:
    records = Records(io.BytesIO(text.encode()), FileFormat("utf-8-sig", ",", header))
    return [(record.line, record.fields, bool(record.problem)) for record in records]


def test_line_is_that_of_the_file_beyond_quoted_newlines_and_blank_lines():
    assert read('name,note\r\n\r\na,"x\r\ny"\r\n,\r\nb,z') == [(3, ["a", "x\r\ny"], False), (6, ["b", "z"], False)]


def test_old_mac_line_ends_are_read():
    assert read("name,note\ra,1\rb,2\r") == [(2, ["a", "1"], False), (3, ["b", "2"], False)]


def test_open_quote_spoils_its_row_alone():
    rows = read('name,note\na,1\nb,"open\nc,3\nd,4\n')

    assert rows == [(2, ["a", "1"], False), (3, ['b,"open'], True), (4, ["c", "3"], False), (5, ["d", "4"], False)]


def test_open_quote_far_from_the_end_spoils_its_row_alone():
    rows = read('name,note\nb,"open\n' + "".join(f"c{i},3\n" for i in range(40_000)))

    assert [line for line, _, bad in rows if bad] == [2]
    assert len(rows) == 40_001


def test_line_without_end_spoils_itself_alone_and_is_not_read_whole():
    rows = read("name,note\n" + "x" * (3 * MAX_LINE_LENGTH) + "\na,1\n")

    assert [(line, bad) for line, _, bad in rows] == [(2, True), (3, False)]


def test_file_of_refused_rows_loses_what_was_written_against_spreadsheets():
    assert read("name,line,error\n'=a,3,no\n")[0][1] == ["=a", "3", "no"]
    assert read("name,note\n'=a,3\n")[0][1] == ["'=a", "3"]


@pytest.mark.parametrize(
    "cell", ["=1+1", "+x", "-x", "@x", "\tx", "\rx", "'=x", "''", "＝1", "x", "", "'x", "-5", "+3.5", "-1,5"]
)
def test_formula_is_harmless_and_comes_back_as_it_was(cell):
    assert escape_formula(cell)[:1] not in set("=@\t\r＝")
    assert restored(escape_formula(cell)) == cell


def test_plain_numbers_are_no_formulas():
    assert [escape_formula(cell) for cell in ("-5", "+3.5", "-1e9", "-x")] == ["-5", "+3.5", "-1e9", "'-x"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("-0.5", -0.5),
        ("1e3", 1000.0),
        ("true", True),
        ("FALSE", False),
        ("007", "007"),
        ("+1", "+1"),
        ("1,5", "1,5"),
        ("1e999", "1e999"),
        ("NaN", "NaN"),
        ("null", "null"),
        ("9" * 41, "9" * 41),
        ("x", "x"),
        ('{"a": [1, null]}', {"a": [1, None]}),
        ("[]", []),
        ("[Hall 3]", "[Hall 3]"),
        ('{"a": 1', '{"a": 1'),
        ('{"a": 1} x', '{"a": 1} x'),
        ("[NaN]", "[NaN]"),
        ("[1e999]", "[1e999]"),
        ('["\\u0000"]', '["\\u0000"]'),
        ("[" * 40 + "]" * 40, "[" * 40 + "]" * 40),
        ("[" * 90_000, "[" * 90_000),
    ],
)
def test_value_is_json_or_text(text, value):
    assert cast(text) == value
    assert type(cast(text)) is type(value)


@pytest.mark.parametrize("value", ['a"b\u2028', 1, True, 1.5, None, {"a": [1]}])
def test_json_text_is_that_of_the_value(value):
    import json

    assert json.loads(as_json(value)) == value


def test_header_with_too_many_columns_is_refused_before_anything_is_read():
    with pytest.raises(UnreadableFile, match="100,000 columns; 1,000 is the most"):
        read("x," * 99_999 + "x\n")
    with pytest.raises(UnreadableFile, match="no usable header"):
        read("x" * (MAX_LINE_LENGTH + 1) + "\nname\n")


def test_row_with_too_many_columns_spoils_itself_alone():
    rows = read("name,note\na,1\n" + "," * MAX_COLUMNS + "\nb,2\n")

    assert rows == [(2, ["a", "1"], False), (3, [], True), (4, ["b", "2"], False)]
