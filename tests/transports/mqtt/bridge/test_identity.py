"""The names of bridges at the broker."""

from transports.mqtt.bridge.identity import client_id, group, take_slot


def test_slots_of_one_host_differ_and_a_freed_one_is_taken_again(tmp_path):
    first, second = take_slot(tmp_path), take_slot(tmp_path)
    assert client_id(first) != client_id(second)
    kept = client_id(first)

    first.lock.close()

    assert client_id(take_slot(tmp_path)) == kept
    second.lock.close()


def test_names_at_the_broker_depend_on_the_installations_secret(settings, tmp_path):
    slot = take_slot(tmp_path)
    before = client_id(slot), group()

    settings.LOOKUP_KEY = "another" * 10

    assert client_id(slot) != before[0]
    assert group() != before[1]
    slot.lock.close()
