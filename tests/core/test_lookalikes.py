"""Names that mislead the eye are pointed out, plain ones are not."""

import pytest

from core.lookalikes import name_warnings


@pytest.mark.parametrize("name", ["DHT11-0001", "a b", "Wärmezähler 3", "датчик-7", "温度センサー", "αισθητήρας", ""])
def test_plain_names_have_no_warning(name):
    assert name_warnings(name) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sensor\u200b", "U+200B ZERO WIDTH SPACE"),
        ("\u202eab", "U+202E RIGHT-TO-LEFT OVERRIDE"),
        ("a\u00a0b", "U+00A0 NO-BREAK SPACE"),
        ("a\u3164", "U+3164 HANGUL FILLER"),
        ("\x07", "U+0007 unnamed"),
        ("\uff21bc", "U+FF21 FULLWIDTH LATIN CAPITAL LETTER A"),
        ("s\u0435nsor", "Latin and Cyrillic"),
    ],
)
def test_misleading_character_is_named(name, expected):
    (warning,) = name_warnings(name)
    assert expected in warning
