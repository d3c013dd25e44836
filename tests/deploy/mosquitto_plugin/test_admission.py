"""Who gets into a Mosquitto with the plugin."""

import subprocess
from pathlib import Path

import pytest

from tests.deploy.mosquitto_plugin.conftest import MakeBroker
from tests.support.broker_feed import SECRET, FeedDevice, FeedServer
from tests.support.mosquitto_plugin import PluginMosquitto
from tests.support.mqtt import CONNACK_ACCEPTED, CONNACK_NOT_AUTHORIZED, BareSocket, connect_packet, publish_packet
from tests.support.processes import wait_for

TOKEN = FeedDevice("by token", token="token-1")
BOTH = FeedDevice("by both", client_id="client-1", username="user-1", password="password-1")
NAME_ONLY = FeedDevice("by user name", username="user-2", password="password-2")
ID_ONLY = FeedDevice("by client id", client_id="client-3")


def admitted(broker: PluginMosquitto, *, client_id: str = "", username: str | None = None, password: str | None = None) -> bool:
    bare = BareSocket(broker.port)
    bare.send(connect_packet(client_id=client_id, username=username, password=password))
    answer = bare.receive(4)
    bare.close()
    assert answer in (CONNACK_ACCEPTED, CONNACK_NOT_AUTHORIZED)
    return answer == CONNACK_ACCEPTED


def refused(broker: PluginMosquitto, **presented: str) -> bool:
    return not admitted(broker, **presented)


@pytest.fixture
def feed(feed: FeedServer) -> FeedServer:
    feed.put(TOKEN, BOTH, NAME_ONLY, ID_ONLY)
    return feed


def test_credentials_admit_as_the_protocol_says(broker: PluginMosquitto, feed: FeedServer):
    assert admitted(broker, username="token-1")
    assert admitted(broker, username="token-1", client_id="anything", password="any password")
    assert admitted(broker, client_id="client-1", username="user-1", password="password-1")
    assert admitted(broker, username="user-2", password="password-2")
    assert admitted(broker, client_id="client-3")
    assert refused(broker, username="token-2")
    assert refused(broker, client_id="client-1", username="user-1", password="password-2")
    assert refused(broker, client_id="client-1", username="user-1")
    assert refused(broker, client_id="other", username="user-1", password="password-1")
    assert refused(broker, client_id="client-3", username="someone")
    assert refused(broker, client_id="client-4")
    assert refused(broker, username="bridge", password="wrong")
    assert admitted(broker, username="bridge", password=SECRET)
    # Names that the plugin gives its clients inside the broker are never accepted.
    assert refused(broker, username="firstlight/bridge")
    assert refused(broker, username=f"firstlight/device/{TOKEN.key}")
    wait_for(lambda: set(feed.seen) == {TOKEN.key, BOTH.key, NAME_ONLY.key, ID_ONLY.key}, "the reports of use")
    assert "token-1" not in broker.log
    assert "password-1" not in broker.log
    assert SECRET not in broker.log


def test_an_empty_client_id_and_user_names_of_any_length_are_looked_up(broker: PluginMosquitto):
    assert all(refused(broker, username=username) for username in ("token-1" * 2_000, "é" * 300, "token-1 ", ""))
    assert admitted(broker, client_id="", username="token-1", password="")


def test_an_address_with_too_many_wrong_guesses_is_refused_whatever_it_presents(make_broker: MakeBroker, feed: FeedServer):
    broker = make_broker(guesses_per_minute="5")
    broker.wait_for_log("a new list of")

    # A new minute may begin in between, so the limit is looked for, not counted.
    wait_for(
        lambda: all(refused(broker, username=f"guess-{n}") for n in range(6)) and refused(broker, username="token-1"), "the limit"
    )


def test_other_users_are_left_to_the_password_file_when_the_option_says_so(make_broker: MakeBroker, tmp_path: Path):
    (tmp_path / "passwords").write_text("dashboard:plain-password\n")
    (tmp_path / "acl").write_text("user dashboard\ntopic read devices/#\ntopic write devices/+/down/#\n")
    subprocess.run(["mosquitto_passwd", "-U", tmp_path / "passwords"], check=True)
    broker = make_broker(other_users="true", configuration=f"password_file {tmp_path}/passwords\nacl_file {tmp_path}/acl")
    broker.wait_for_log("a new list of")

    assert admitted(broker, username="dashboard", password="plain-password")
    assert admitted(broker, username="token-1")
    assert refused(broker, username="dashboard", password="wrong")
    assert refused(broker, client_id="nobody")


def test_a_connection_with_the_same_client_id_takes_the_session_over(broker: PluginMosquitto):
    first, second = BareSocket(broker.port), BareSocket(broker.port)
    for bare in (first, second):
        bare.send(connect_packet(client_id="same", username="token-1"))
        assert bare.receive(4) == CONNACK_ACCEPTED

    assert first.is_closed()
    second.send(publish_packet("v1/devices/me/telemetry", b"{}", packet_id=1))
    assert second.receive(4) == b"\x40\x02\x00\x01"
    second.close()
