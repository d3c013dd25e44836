import pytest

from brokers.topics import Action, covers, is_allowed, provisioning_rules


@pytest.mark.parametrize(
    ("allowed", "wanted", "expected"),
    [
        ("a/#", "a/b", True),
        ("a/#", "a/+/c", True),
        ("a/#", "a/#", True),
        ("a/#", "a", True),
        ("a/#", "#", False),
        ("a/#", "+/b", False),
        ("a/b", "a/b", True),
        ("a/b", "a/+", False),
        ("a/b", "a/b/#", False),
        ("a/b", "a", False),
        ("a/+/c", "a/+/c", True),
        ("a/+/c", "a/#", False),
        ("#", "#", True),
        ("/provision/response/c1/#", "/provision/response/c10", False),
    ],
)
def test_filter_covers(allowed, wanted, expected):
    assert covers(allowed, wanted) is expected


@pytest.mark.parametrize("topic", ["$share/g/#", "$SYS/broker", "", "/provision/response/#", "/provision/response/+", "#"])
@pytest.mark.parametrize("isolated", [True, False])
def test_eavesdropper_gets_no_wildcard(topic, isolated):
    assert not is_allowed(provisioning_rules("c1", isolated=isolated), Action.SUBSCRIBE, topic)


def test_shared_response_topic_only_where_it_is_safe(settings):
    apart, together = (provisioning_rules("c1", isolated=isolated) for isolated in (True, False))
    assert is_allowed(apart, Action.SUBSCRIBE, "/provision/response")
    assert not is_allowed(together, Action.SUBSCRIBE, "/provision/response")
    assert is_allowed(together, Action.SUBSCRIBE, "/provision/response/c1")
    assert not is_allowed(together, Action.SUBSCRIBE, "/provision/response/c2")
    settings.MQTT_ALLOW_SHARED_RESPONSES = True
    assert is_allowed(provisioning_rules("c1", isolated=False), Action.SUBSCRIBE, "/provision/response")


@pytest.mark.parametrize("client_id", ["a/b", "+", "#", "", "${username}"])
def test_client_id_that_is_no_level_gets_no_topic_of_its_own(client_id):
    rules = provisioning_rules(client_id, isolated=False)
    assert not any(is_allowed(rules, Action.SUBSCRIBE, f"/provision/response/{name}") for name in (client_id, "x", "a/b"))
