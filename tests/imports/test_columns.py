"""What columns hold: guessed from their header, or given."""

import pytest

from imports.columns import BadMapping, Column, ColumnType, column, from_option, mapped, numbered

NAME = Column(ColumnType.NAME)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("Device Name", NAME),
        ("type", Column(ColumnType.TYPE)),
        (" Label ", Column(ColumnType.LABEL)),
        ("isGateway", Column(ColumnType.IS_GATEWAY)),
        ("ACCESS_TOKEN", Column(ColumnType.ACCESS_TOKEN)),
        ("X.509", Column(ColumnType.X509)),
        ("mqtt-username", Column(ColumnType.MQTT_USER_NAME)),
        ("Data1", Column(ColumnType.SERVER_ATTRIBUTE, "Data1")),
        ("error", Column(ColumnType.IGNORE)),
    ],
)
def test_header_sets_the_type_of_its_column(header, found):
    columns = mapped([header], {}) if found == NAME else mapped(["name", header], {})[1:]

    assert columns == [found]


@pytest.mark.parametrize(
    ("headers", "overrides", "sentence"),
    [
        (["label"], {}, "No column holds the name"),
        (["name", "device name"], {}, "Two columns have the same type: Name."),
        (["name", "a", "b"], {"b": Column(ColumnType.SERVER_ATTRIBUTE, "a")}, "Server attribute 'a'"),
        (["name", "a"], {"b": NAME}, "no column 'b'"),
        (["name", "a"], {"a": Column(ColumnType.TIMESERIES)}, "needs a key"),
        (["name", "provisionState"], {}, "set when a device provisions"),
        (["name", "x" * 256], {}, "at most 255"),
    ],
)
def test_columns_that_make_no_sense_are_refused(headers, overrides, sentence):
    with pytest.raises(BadMapping, match=sentence):
        mapped(headers, overrides)


def test_option_may_have_equals_signs_and_colons_in_header_and_key():
    assert from_option("a=b=SHARED_ATTRIBUTE:c:d=e") == ("a=b", Column(ColumnType.SHARED_ATTRIBUTE, "c:d=e"))
    assert from_option("volts=timeseries") == ("volts", Column(ColumnType.TIMESERIES, "volts"))
    with pytest.raises(BadMapping, match="HEADER=TYPE"):
        from_option("volts=nothing")


def test_columns_without_header_are_described_by_number():
    assert numbered(3, {"2": NAME}) == [Column(ColumnType.IGNORE), NAME, Column(ColumnType.IGNORE)]
    with pytest.raises(BadMapping, match="1 to 3"):
        numbered(3, {"4": NAME})


def test_unknown_type_is_refused_with_those_that_there_are():
    with pytest.raises(BadMapping, match="SERVER_ATTRIBUTE"):
        column("LWM2M_CLIENT_ENDPOINT")
