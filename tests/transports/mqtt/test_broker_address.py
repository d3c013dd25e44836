"""The broker's address from its URL."""

from transports.mqtt.broker_address import bridge_address, device_address


def test_broker_address_reads_the_url_and_prints_no_password(settings):
    settings.MQTT_BROKER_URL = "mqtt://us%40er:p%3Ass@broker.example:1999"

    address = bridge_address()

    assert (address.host, address.port, address.username, address.password) == ("broker.example", 1999, "us@er", "p:ss")
    assert str(address) == "mqtt://broker.example:1999"
    assert "p:ss" not in repr(address)
    assert (device_address().username, device_address().password) == ("", "")
