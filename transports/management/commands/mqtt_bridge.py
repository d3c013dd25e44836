"""`manage.py mqtt_bridge`: answer provision requests that come over an MQTT broker, until SIGTERM."""

import signal
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from operations.choices import Process
from operations.heartbeat import Beating
from provisioning.group_commit import group_commit
from transports.handler import handle
from transports.mqtt.bridge import identity
from transports.mqtt.bridge.account import Account
from transports.mqtt.bridge.attribute_updates import AttributeUpdates
from transports.mqtt.bridge.bridge import Bridge
from transports.mqtt.bridge.device_data import DeviceData
from transports.mqtt.bridge.device_topics import DeviceTopics
from transports.mqtt.bridge.reply_policy import ReplyPolicy
from transports.mqtt.bridge.topics import Topics
from transports.mqtt.broker_address import bridge_address, device_address


class Command(BaseCommand):
    help = "Answer the provision requests of devices over the MQTT broker of MQTT_BROKER_URL, else over the embedded one."

    def handle(self, **options: Any) -> None:
        try:
            slot = identity.take_slot(settings.DATA_DIR)
            topics = Topics(settings.MQTT_REQUEST_TOPIC, settings.MQTT_RESPONSE_TOPIC)
            device_topics = DeviceTopics(settings.MQTT_TOPIC_FROM_DEVICE, settings.MQTT_TOPIC_TO_DEVICE)
        except (OSError, ValueError) as err:
            raise CommandError(f"The MQTT bridge cannot start: {err}") from None
        # The embedded broker serves devices itself.
        serves_data = settings.MQTT_DEVICE_DATA and not settings.MQTT_EMBEDDED_BROKER
        account = Account(
            broker=bridge_address(),
            client_id=identity.client_id(slot),
            group=identity.group(),
            requests=topics.requests,
            shared_request=topics.shared_request,
            window=settings.MQTT_WINDOW,
            session_expiry_s=settings.MQTT_SESSION_EXPIRY_S,
            data_filters=() if settings.MQTT_EMBEDDED_BROKER else device_topics.filters,
            serves_data=serves_data,
        )
        beating = Beating(Process.MQTT_BRIDGE, place=str(slot.number))
        beating.start()
        answering = ReplyPolicy(topics, settings.MQTT_ALLOW_SHARED_RESPONSES, handle, addressed=settings.MQTT_EMBEDDED_BROKER)
        data = DeviceData(device_topics)
        bridge = Bridge(account, device_address(), answering, beating, data if serves_data else None)
        updates = AttributeUpdates(device_topics, bridge)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: bridge.stop())
        if serves_data:
            updates.start()
        finished = bridge.run()
        updates.stop()
        data.close()
        if finished:
            group_commit.close()
        beating.stop()
