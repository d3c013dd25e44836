"""`manage.py create_broker NAME --kind …`: let an MQTT broker of the operator ask who may connect."""

import json
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from brokers.choices import BrokerKind
from brokers.configuration import configuration
from brokers.selectors import calls_url
from brokers.services import broker_create


class Command(BaseCommand):
    help = "Add an MQTT broker and print its id, its secret and the configuration that it needs."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--kind", required=True, choices=BrokerKind.values)
        parser.add_argument("--secret", help="16 characters or more: letters, digits, - . _ ~ (default: generated)")
        parser.add_argument("--url", default="", help="address of Firstlight as this broker reaches it (default: BROKERS_URL)")
        parser.add_argument("--mqtt-url", default="", help="where devices connect, e.g. mqtt://10.0.0.5:1883, to test the broker")
        parser.add_argument("--management-url", default="", help="the broker's management API, to end sessions")
        parser.add_argument("--management-user", default="")
        parser.add_argument("--management-password", default="")
        parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")

    def handle(self, *, name: str, kind: str, secret: str | None, url: str, **options: Any) -> None:
        fields = {field: options[field] for field in ("mqtt_url", "management_url", "management_user", "management_password")}
        try:
            broker = broker_create(name=name, kind=kind, secret=secret, **fields)
        except ValidationError as err:
            problems = [f"{field}: {' '.join(texts)}" for field, texts in err.message_dict.items()]
            raise CommandError("The broker was not added. " + " ".join(problems)) from None
        values = {
            "id": str(broker.id),
            "kind": broker.kind,
            "secret": broker.secret,
            "url": calls_url(broker, url),
            "config": configuration(broker, url),
        }
        if options["json"]:
            self.stdout.write(json.dumps(values))
            return
        self.stdout.write("".join(f"{name:<7} {values[name]}\n" for name in ("id", "secret", "url")) + "\n" + values["config"])
