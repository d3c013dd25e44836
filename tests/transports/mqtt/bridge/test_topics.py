"""Where answers go."""

import pytest

from tests.support.bridge import OWN, TOPICS, HeldRequests
from transports.mqtt.bridge.messages import Message
from transports.mqtt.bridge.reply_policy import ReplyPolicy
from transports.mqtt.bridge.topics import Topics


def response_topic(topic: str, *, shared: bool = False, topics: Topics = TOPICS, **fields) -> str:
    return ReplyPolicy(topics, shared, HeldRequests()).response_topic(Message(topic, b"", **fields))


@pytest.mark.parametrize(
    ("topic", "wish", "goes_to"),
    [
        (OWN, "", "/provision/response/d1"),
        (OWN, "/provision/response/d1", "/provision/response/d1"),
        (OWN, "/provision/response/d1/7", "/provision/response/d1/7"),
        (OWN, "/provision/response/d2", "/provision/response/d1"),
        (OWN, "/provision/response/d10", "/provision/response/d1"),
        (OWN, "/provision/response/", "/provision/response/d1"),
        (OWN, "/elsewhere/d1", "/provision/response/d1"),
        (OWN, "/provision/response/d1/#", "/provision/response/d1"),
        ("/provision/request", "/provision/response/d1", ""),
        ("/provision/request", "/provision/response/+", ""),
        ("/provision/request", "/elsewhere", ""),
        ("/provision/request", "", ""),
        ("/provision/request/", "", ""),
        ("/provision/request/a/b", "", ""),
        ("/provision/request/a+", "", ""),
        ("/provision/request/#", "", ""),
        ("/provision/request/a\0b", "", ""),
        ("/provision/request/" + "x" * 65_516, "", ""),
        ("", "", ""),
    ],
)
def test_answer_goes_to_the_sender_only(topic: str, wish: str, goes_to: str):
    assert response_topic(topic, response_topic=wish) == goes_to


def test_shared_topic_is_answered_only_when_allowed():
    assert response_topic("/provision/request", shared=True) == "/provision/response"
    assert response_topic("/provision/request", shared=False) == ""


def test_retained_request_is_not_answered():
    assert response_topic(OWN, retained=True) == ""


def test_mount_point_topics_are_understood():
    topics = Topics("{client_id}//provision/request", "{client_id}//provision/response")

    assert topics.requests == "+//provision/request"
    assert topics.shared_request == ""
    assert response_topic("d1//provision/request", topics=topics) == "d1//provision/response"
    assert response_topic("d1//provision/request", topics=topics, response_topic="d2//provision/response") == (
        "d1//provision/response"
    )


@pytest.mark.parametrize("template", ["/provision/request", "/{client_id}/{client_id}", "/a/#/{client_id}", "/+/{client_id}"])
def test_unusable_topic_setting_is_refused(template: str):
    with pytest.raises(ValueError, match="client_id"):
        Topics(template, "/provision/response/{client_id}")
