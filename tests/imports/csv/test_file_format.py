"""Encoding, delimiter and kind of a file, found by looking."""

import io

import pytest

from imports.csv.file_format import SAMPLE_BYTES, FileFormat, UnreadableFile, detect

TEXT = "name;label\nDHT11-1;Küche\n"


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (TEXT.encode(), "utf-8-sig"),
        (b"\xef\xbb\xbf" + TEXT.encode(), "utf-8-sig"),
        (TEXT.encode("utf-16"), "utf-16"),
        (TEXT.encode("utf-16-le"), "utf-16-le"),
        (TEXT.encode("utf-16-be"), "utf-16-be"),
        (TEXT.encode("latin-1"), "cp1252"),
        (b"name\xe9;\x81\n", "latin-1"),
        (b"name;label\n" + b"x;y\n" * SAMPLE_BYTES + "ü;y\n".encode("latin-1"), "cp1252"),
    ],
)
def test_encoding_is_found(content, encoding):
    assert detect(io.BytesIO(content)) == FileFormat(encoding, ";")


@pytest.mark.parametrize("delimiter", [",", ";", "|", "\t"])
def test_delimiter_is_found_though_others_stand_in_the_text(delimiter):
    rows = [["name", "label", "note"], ["a", "b", "1,5; 2|3"], ["c", '"x\ny"', "2,5; 4|5"]]
    text = "\n".join(delimiter.join(f'"{cell}"' if delimiter in cell else cell for cell in row) for row in rows)

    assert detect(io.BytesIO(text.encode())).delimiter == delimiter


def test_given_options_are_not_detected():
    form = detect(io.BytesIO(TEXT.encode()), encoding="Latin-1", delimiter=",", header=False)

    assert form == FileFormat("latin-1", ",", header=False)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(range(256)) * 40, "JPEG"),
        (b"PK\x03\x04" + bytes(100), "Excel"),
        (bytes(range(256)) * 40, "binary data"),
        (b" \n \n", "empty"),
        (b"", "empty"),
    ],
)
def test_what_is_no_list_is_refused_with_what_it_is(content, sentence):
    with pytest.raises(UnreadableFile, match=sentence):
        detect(io.BytesIO(content))


@pytest.mark.parametrize("overrides", [{"encoding": "ebcdic"}, {"encoding": "cp500"}, {"delimiter": '"'}, {"delimiter": ",,"}])
def test_impossible_encoding_or_delimiter_is_refused(overrides):
    with pytest.raises(UnreadableFile):
        detect(io.BytesIO(TEXT.encode()), **overrides)
