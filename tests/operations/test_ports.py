"""A port in use is one sentence."""

import socket
from contextlib import ExitStack

import pytest

from operations.ports import PortUnusable, require_free_ports
from tests.support.processes import free_port

KINDS = {
    "HTTP_PORT": socket.SOCK_STREAM,
    "MQTT_PORT": socket.SOCK_STREAM,
    "MQTT_TLS_PORT": socket.SOCK_STREAM,
    "COAP_PORT": socket.SOCK_DGRAM,
}


@pytest.fixture
def ports(settings):
    for name, kind in KINDS.items():
        setattr(settings, name, free_port(kind))
    return settings


def test_free_ports_are_let_go_again(ports):
    require_free_ports()
    require_free_ports()


@pytest.mark.parametrize("name", KINDS)
def test_port_in_use_is_named_with_its_variable(ports, name):
    number = getattr(ports, name)
    with ExitStack() as held:
        other = held.enter_context(socket.socket(socket.AF_INET, KINDS[name]))
        other.bind(("127.0.0.1", number))
        if KINDS[name] == socket.SOCK_STREAM:
            other.listen()
        with pytest.raises(PortUnusable, match=rf"ort {number} is in use; choose another one with {name}, e"):
            require_free_ports()


def test_two_settings_with_one_port_are_found(ports):
    ports.MQTT_PORT = ports.HTTP_PORT

    with pytest.raises(PortUnusable, match="MQTT_PORT"):
        require_free_ports()


def test_number_that_is_no_port_is_named(ports):
    ports.COAP_PORT = 70_000

    with pytest.raises(PortUnusable, match="COAP_PORT"):
        require_free_ports()


def test_own_broker_leaves_the_mqtt_port_alone(ports):
    ports.MQTT_EMBEDDED_BROKER = False
    ports.MQTT_PORT = ports.HTTP_PORT

    require_free_ports()
