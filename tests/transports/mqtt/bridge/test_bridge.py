"""The bridge with a broker that has no MQTT 5."""

import socket
import threading

import pytest

from tests.support.bridge import TOPICS, HeldRequests
from tests.support.processes import free_port, wait_for
from transports.mqtt.bridge.account import Account
from transports.mqtt.bridge.bridge import Bridge
from transports.mqtt.bridge.reply_policy import ReplyPolicy
from transports.mqtt.broker_address import BrokerAddress


class OldBroker(threading.Thread):
    """Refuses MQTT 5 as a broker of 3.1.1 does, grants what a client of 3.1.1 asks, and keeps what it got."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.port = free_port()
        self.levels: list[int] = []
        self.subscribed = b""
        self._listener = socket.create_server(("127.0.0.1", self.port))

    def run(self) -> None:
        for _ in range(2):
            peer, _ = self._listener.accept()
            with peer:
                connect = peer.recv(4096)
                self.levels.append(connect[8])
                peer.sendall(b"\x20\x02\x00\x01" if connect[8] == 5 else b"\x20\x02\x00\x00")
                if connect[8] == 4:
                    self.subscribed = peer.recv(4096)
                    peer.sendall(b"\x90\x04" + self.subscribed[2:4] + b"\x01\x01")
                    peer.recv(4096)
        self._listener.close()


class Reporter:
    def __init__(self) -> None:
        self.notes: list[tuple[bool, str]] = []

    def report(self, *, ready: bool, note: str = "") -> None:
        self.notes.append((ready, note))

    def has_twin(self, *, ready: bool) -> bool:
        return False

    def has_peers(self) -> bool:
        return False

    is_alone = True
    peers = 0

    def may_serve_alone(self) -> bool:
        return self.is_alone


def test_bridge_falls_back_to_mqtt_3_1_1_by_itself_and_without_an_alarm(core: HeldRequests, caplog: pytest.LogCaptureFixture):
    broker, reporter = OldBroker(), Reporter()
    broker.start()
    address = BrokerAddress("mqtt", "127.0.0.1", broker.port, "bridge", "secret")
    account = Account(address, "bridge-1", "group", TOPICS.request_filters, 200, 600)
    bridge = Bridge(account, BrokerAddress("mqtt", "127.0.0.1", free_port()), ReplyPolicy(TOPICS, False, core), reporter)
    running = threading.Thread(target=bridge.run)
    running.start()

    wait_for(lambda: any(ready for ready, _ in reporter.notes), "the bridge to be ready")
    bridge.stop()
    running.join(10)

    assert broker.levels == [5, 4]
    assert b"$share" not in broker.subscribed
    assert "MQTT 3.1.1" in next(note for ready, note in reporter.notes if ready)
    assert "No connection" not in caplog.text
