"""Words that brokers use."""

from django.db import models


class BrokerKind(models.TextChoices):
    """Which program a broker is. Each has a module in `brokers/dialects/`."""

    MOSQUITTO = "mosquitto", "Mosquitto with the Firstlight plugin"
    EMQX = "emqx", "EMQX"
    RABBITMQ = "rabbitmq", "RabbitMQ"
    VERNEMQ = "vernemq", "VerneMQ"
    GENERIC = "generic", "Another broker that asks over HTTP"
