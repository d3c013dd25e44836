"""The plugin's list of devices: as current as Firstlight lets it be, and there after a restart or an outage."""

import pytest

from tests.deploy.mosquitto_plugin.conftest import MakeBroker
from tests.deploy.mosquitto_plugin.test_admission import admitted, refused
from tests.support.broker_feed import FeedDevice, FeedServer
from tests.support.mosquitto_plugin import PluginMosquitto
from tests.support.mqtt import CONNACK_ACCEPTED, BareSocket, connect_packet, publish_packet
from tests.support.processes import wait_for

FIRST, SECOND, THIRD = (FeedDevice(f"device {n}", token=f"token-{n}") for n in (1, 2, 3))


@pytest.fixture
def feed(feed: FeedServer) -> FeedServer:
    feed.put(FIRST, SECOND)
    return feed


def session(broker: PluginMosquitto, device: FeedDevice) -> BareSocket:
    bare = BareSocket(broker.port)
    bare.send(connect_packet(username=device.token))
    assert bare.receive(4) == CONNACK_ACCEPTED
    return bare


def test_changes_arrive_by_themselves_and_end_the_sessions_of_that_device_alone(broker: PluginMosquitto, feed: FeedServer):
    assert refused(broker, username=THIRD.token)
    feed.put(THIRD)
    wait_for(lambda: admitted(broker, username=THIRD.token), "the new device's admission")

    one, two, three = (session(broker, device) for device in (FIRST, SECOND, THIRD))
    feed.remove(FIRST)
    feed.put(FeedDevice(SECOND.name, token="token-2-new"), THIRD)

    assert one.is_closed()
    assert two.is_closed()
    assert refused(broker, username=FIRST.token)
    assert refused(broker, username=SECOND.token)
    assert admitted(broker, username="token-2-new")
    three.send(publish_packet("v1/devices/me/telemetry", b"{}", packet_id=1))  # sent again unchanged: its session goes on
    assert three.receive(4) == b"\x40\x02\x00\x01"
    three.close()
    assert feed.snapshots == 1


def test_an_outage_changes_nothing_for_admitted_devices_and_loses_no_change(broker: PluginMosquitto, feed: FeedServer):
    one = session(broker, FIRST)
    feed.stop()
    broker.wait_for_log("The broker goes on with 2 devices; its list is ")
    feed.put(THIRD)
    assert admitted(broker, username=SECOND.token)
    assert refused(broker, username=THIRD.token)
    one.send(publish_packet("v1/devices/me/telemetry", b"{}", packet_id=1))
    assert one.receive(4) == b"\x40\x02\x00\x01"

    feed.start()
    wait_for(lambda: admitted(broker, username=THIRD.token), "the change of the outage")
    broker.wait_for_log("Firstlight answers again")
    wait_for(lambda: SECOND.key in feed.seen, "the use during the outage")
    assert feed.snapshots == 1
    one.close()


@pytest.mark.parametrize("killed", [False, True])
def test_a_restarted_broker_admits_from_its_file_before_firstlight_answers(
    broker: PluginMosquitto, feed: FeedServer, killed: bool
):
    feed.remove(SECOND)
    feed.put(THIRD)
    wait_for(lambda: admitted(broker, username=THIRD.token), "the change")
    wait_for(
        lambda: THIRD.key in broker.replica.read_text() and broker.replica.read_text().endswith("end 4\n"), "the stored change"
    )
    feed.stop()
    broker.kill() if killed else broker.stop()
    assert broker.replica.stat().st_mode & 0o777 == 0o600
    assert all(device.token not in broker.replica.read_text() for device in (FIRST, SECOND, THIRD))

    broker.start()
    broker.wait_for_log("2 devices from the stored list")
    assert admitted(broker, username=FIRST.token)
    assert admitted(broker, username=THIRD.token)
    assert refused(broker, username=SECOND.token)
    feed.start()
    feed.put(SECOND)
    wait_for(lambda: admitted(broker, username=SECOND.token), "the change after the restart")
    assert feed.snapshots == 1


def test_a_file_of_another_secret_is_not_read(broker: PluginMosquitto, make_broker: MakeBroker, feed: FeedServer):
    broker.stop()
    feed.stop()
    other = make_broker(secret="another-secret-of-the-tests", file=str(broker.replica))
    other.wait_for_log("no stored list of devices")
    assert refused(other, username=FIRST.token)
    feed.start()
    other.wait_for_log("HTTP status 403. No device is admitted until it does.")


def test_a_restored_database_begins_again_from_a_snapshot(broker: PluginMosquitto, feed: FeedServer):
    gone_with_it = session(broker, SECOND)
    stays = session(broker, FIRST)
    feed.restore([FIRST, THIRD], "epoch-2")

    assert gone_with_it.is_closed()
    assert admitted(broker, username=THIRD.token)
    assert refused(broker, username=SECOND.token)
    stays.send(publish_packet("v1/devices/me/telemetry", b"{}", packet_id=1))
    assert stays.receive(4) == b"\x40\x02\x00\x01"
    stays.close()


def test_truncated_snapshot_removes_no_device(broker: PluginMosquitto, feed: FeedServer):
    one = session(broker, SECOND)
    feed.cut_off = True
    feed.restore([FIRST], "epoch-2")
    broker.wait_for_log("its answer was cut off")
    one.send(publish_packet("v1/devices/me/telemetry", b"{}", packet_id=1))
    assert one.receive(4) == b"\x40\x02\x00\x01"
    assert admitted(broker, username=SECOND.token)

    feed.cut_off = False
    assert one.is_closed()
    assert refused(broker, username=SECOND.token)


def test_unwritable_store_is_logged_and_does_no_harm(make_broker: MakeBroker, feed: FeedServer):
    broker = make_broker(file="/nowhere/at/all")
    broker.wait_for_log("cannot be stored in /nowhere/at/all")
    assert admitted(broker, username=FIRST.token)


def test_wrong_options_keep_the_broker_from_starting(make_broker: MakeBroker):
    for options, complaint in (
        ({"secret": "short"}, "16 characters at least"),
        ({"topic_from_device": "devices"}, "needs {id} or {name}"),
        ({"colour": "blue"}, "plugin_opt_colour"),
    ):
        with pytest.raises(AssertionError, match=complaint):
            make_broker(**options)
