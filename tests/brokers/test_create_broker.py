import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from brokers.choices import BrokerKind
from brokers.models import Broker
from brokers.services import broker_rotate_secret, has_secret

pytestmark = pytest.mark.django_db


def create(*arguments):
    out = StringIO()
    call_command("create_broker", *arguments, "--json", stdout=out)
    return json.loads(out.getvalue().splitlines()[-1])


@pytest.mark.parametrize("kind", BrokerKind.values)
def test_json_has_what_the_broker_needs(kind, settings):
    settings.BROKERS_URL = "https://firstlight.example.com/"
    made = create("plant 7", "--kind", kind)

    broker = Broker.objects.get()
    assert set(made) == {"id", "kind", "secret", "url", "config"}
    assert (made["id"], made["kind"], made["secret"]) == (str(broker.pk), kind, broker.secret)
    assert made["url"] == f"https://firstlight.example.com/api/brokers/{broker.pk}"
    assert made["secret"] in made["config"]
    assert str(broker.pk) in made["config"]
    assert has_secret(broker, made["secret"])
    assert made["secret"] not in repr(broker)


def test_secret_can_be_chosen_and_rotated():
    made = create("b", "--kind", "emqx", "--secret", "chosen-secret-0001")
    broker = Broker.objects.get()

    assert made["secret"] == "chosen-secret-0001"
    broker_rotate_secret(broker=broker)
    broker.refresh_from_db()
    assert not has_secret(broker, "chosen-secret-0001")
    assert has_secret(broker, broker.secret)


@pytest.mark.parametrize("secret", ["short", "has blanks in it here", "sixteen+and&more?"])
def test_unusable_secret_is_refused(secret):
    with pytest.raises(CommandError, match="secret"):
        create("b", "--kind", "emqx", "--secret", secret)
    assert not Broker.objects.exists()


def test_taken_name_is_refused():
    create("b", "--kind", "emqx")
    with pytest.raises(CommandError, match="name"):
        create("b", "--kind", "rabbitmq")
    assert Broker.objects.count() == 1
