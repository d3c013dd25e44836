"""Documents as Gson's lenient reader takes and refuses them. The expected values are Gson 2.13's own."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.lenient_json import MAX_DEPTH, InvalidJson, LenientDecoder

decode = LenientDecoder().decode

TAKEN = {
    # names
    "{temperature:25}": {"temperature": 25},
    "{'a':1}": {"a": 1},
    "{1:2,true:3,a-b.c:4}": {"1": 2, "true": 3, "a-b.c": 4},
    '{"":1}': {"": 1},
    "{a:1,a:2}": {"a": 2},
    # separators
    '{"a"=1;b=>2}': {"a": 1, "b": 2},
    "{a= >1}": {"a": ">1"},
    "[1;2]": [1, 2],
    # bare and single-quoted values
    "{a:b}": {"a": "b"},
    "{a:'it is'}": {"a": "it is"},
    """['a"b', "a'b", a"b'c]""": ['a"b', "a'b", "a\"b'c"],
    "{a:NaN}": {"a": "NaN"},
    "{a:\0}": {"a": "\0"},
    "{a:é\u00a0😀}": {"a": "é\u00a0😀"},
    # words that look like others
    "[TRUE, False, nUlL, trues, 'true']": [True, False, None, "trues", "true"],
    "[1, -1, 1.5, 1E2, -0.5e-1]": [1, -1, 1.5, 100.0, -0.05],
    "[01, +1, .5, 5., -, 0x10, 1e, Infinity]": ["01", "+1", ".5", "5.", "-", "0x10", "1e", "Infinity"],
    # a missing element is null, in arrays only
    "[1,]": [1, None],
    "[,]": [None, None],
    "[;;a]": [None, None, "a"],
    "[]": [],
    "{}": {},
    # strings
    r"""['\u0041\t\b\n\r\f\'\"\\\/']""": ["A\t\b\n\r\f'\"\\/"],
    "'a\nb\tc'": "a\nb\tc",
    "'a\\\nb'": "a\nb",
    r"'\ud83d\ude00'": "😀",
    r"'\ud83d'": "\ud83d",
    # comments and blanks
    "/*a*/{//b\na#c\r:/**/1 , # d\n b:2}": {"a": 1, "b": 2},
    " \t\r\n{a : 1} \t\r\n": {"a": 1},
    "[/*/*/1]": [1],
    ")]}'\n{a:1}": {"a": 1},
}

REFUSED = [
    "",
    " ",
    "# only a comment",
    "{",
    "[",
    "{a",
    "{a:",
    "{a:1",
    "{a:}",
    "{a}",
    "{a 1}",
    "{a:1 b:2}",
    "{a:1,}",
    "{,}",
    "{:1}",
    "{[]:1}",
    "[1 2]",
    "[:]",
    "[}",
    "{]",
    "{a:;}",
    "{a:/}",
    "{a:\\}",
    "{a:\f1}",
    "{a\f:1}",
    "{a:'x}",
    '{a:"x}',
    r"'\x'",
    r"'\u12'",
    r"'\u12g4'",
    "'\\",
    "[1/*]",
    "/",
    # nothing but blanks may follow
    "{a:1}\0",
    "{a:1},",
    "{a:1};",
    "{a:1}{}",
    "{a:1} // comment",
    "{a:1} # comment",
    "a b",
    "\ufeff\ufeff{a:1}",
    ")]}'{a:1}",
]


@pytest.mark.parametrize("text", TAKEN)
def test_what_gson_takes_has_the_same_value(text):
    assert decode(text) == TAKEN[text]


@pytest.mark.parametrize("text", REFUSED)
def test_what_gson_refuses_is_refused(text):
    with pytest.raises(InvalidJson):
        decode(text)


def test_message_has_the_position_and_nothing_of_the_text():
    with pytest.raises(InvalidJson) as caught:
        decode("{secret:1,\n  hidden 2}")

    assert str(caught.value) == "Expected a colon at line 2, column 10."


def test_number_and_word_are_made_by_the_caller():
    decoder = LenientDecoder(number=lambda text: f"number {text}", word=lambda text: f"word {text}")

    for text in ('{"a": 1.50, "b": NaN, "c": "NaN"}', "{a: 1.50, b: NaN, c: 'NaN'}"):
        assert decoder.decode(text) == {"a": "number 1.50", "b": "word NaN", "c": "NaN"}


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ("{a:", "}")])
def test_depth_is_limited_as_in_gson(opening, closing):
    decode(opening * (MAX_DEPTH - 1) + "{a:1}" + closing * (MAX_DEPTH - 1))
    for depth in (MAX_DEPTH, 100_000):
        with pytest.raises(InvalidJson):
            decode(opening * depth + "{a:1}" + closing * depth)


def test_strict_json_beyond_the_interpreters_recursion_is_refused():
    with pytest.raises(InvalidJson):
        decode("[" * 100_000 + "]" * 100_000)


def test_number_of_very_many_digits_is_a_word():
    assert decode("{a:" + "1" * 1023 + "}") == {"a": int("1" * 1023)}
    assert decode("{a:" + "1" * 1024 + "}") == {"a": "1" * 1024}
    assert decode("[" + "1" * 10_000 + "]") == ["1" * 10_000]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@settings(deadline=None)
@given(value=values, ascii_only=st.booleans(), indent=st.none() | st.integers(0, 2))
def test_strict_json_means_the_same_to_the_lenient_reader(value, ascii_only, indent):
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)

    assert LenientDecoder().decode_leniently(text) == value


PIECES = st.sampled_from(
    [*"{}[]:,;=>\"'\\/#*\n\r\t \f\0-+.01aénu", "//", "/*", "*/", "\\u00", "true", "null", "1e5", "{a:", "['"]
)


@settings(deadline=None, max_examples=500)
@given(text=st.lists(PIECES, max_size=30).map("".join) | st.text(max_size=60))
def test_any_text_is_a_document_or_invalid(text):
    try:
        value = decode(text)
    except InvalidJson:
        return
    assert value is None or isinstance(value, str | bool | dict | list | int) or math.isfinite(value)
