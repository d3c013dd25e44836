"""The processes of an installation."""

from django.db import models


class Process(models.TextChoices):
    WEB = "web", "Web"
    MQTT_BROKER = "mqtt_broker", "MQTT broker"
    MQTT_BRIDGE = "mqtt_bridge", "MQTT bridge"
    COAP = "coap", "CoAP server"
    TASKS = "tasks", "Task worker"
