import pytest

from profiles.topic_patterns import filled_topic, topic_pattern_problem

VALUES = {"device_id": "0192", "device_name": "DHT11-1", "client_id": "c1", "profile": "DHT11"}


@pytest.mark.parametrize("pattern", ["", "plant/{device_name}/#", "{profile}/{client_id}", "{device_id}", "v3/{device_id}"])
def test_usable_pattern(pattern):
    assert topic_pattern_problem(pattern) == ""


@pytest.mark.parametrize(
    "pattern",
    [
        "#",
        "/#",
        "plant/#",
        "{profile}/x",
        "plant/+/{device_id}",
        "plant/{device}/#",
        "plant/{device_id}/#/x",
        "v1/devices/me/{device_id}",
        "v2/{device_id}/#",
        "/provision/response/{client_id}",
        "$SYS/{device_id}",
        "plant/{device_id}\n",
    ],
)
def test_unusable_pattern(pattern):
    assert topic_pattern_problem(pattern) != ""


def test_placeholders_are_filled_once():
    values = VALUES | {"device_name": "{client_id}"}
    assert filled_topic("{profile}/{device_name}/#", values) == "DHT11/{client_id}/#"


@pytest.mark.parametrize("name", ["a/b", "+", "#", "", "\0"])
def test_value_that_is_no_topic_level_allows_nothing(name):
    assert filled_topic("plant/{device_name}/#", VALUES | {"device_name": name}) == ""
    assert filled_topic("plant/{device_id}/#", VALUES | {"device_name": name}) == "plant/0192/#"
