"""`manage.py mqtt_bridge`: answer provision requests that come over an MQTT broker, until SIGTERM."""

import signal
from dataclasses import replace
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
from transports.mqtt.bridge.data_session import DataSessions
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
        data_filters = () if settings.MQTT_EMBEDDED_BROKER else device_topics.filters
        serves_data = settings.MQTT_DEVICE_DATA and bool(data_filters)
        account = Account(
            broker=bridge_address(),
            client_id=identity.client_id(slot),
            group=identity.group(),
            filters=topics.request_filters,
            window=settings.MQTT_WINDOW,
            session_expiry_s=settings.MQTT_SESSION_EXPIRY_S,
            obsolete=data_filters,
        )

        def data_account(number: int) -> Account:
            who, kept_s = identity.data_client_id(number), settings.MQTT_DATA_EXPIRY_S
            return replace(account, client_id=who, filters=data_filters, session_expiry_s=kept_s, obsolete=())

        beating = Beating(Process.MQTT_BRIDGE, place=str(slot.number))
        beating.start()
        answering = ReplyPolicy(topics, settings.MQTT_ALLOW_SHARED_RESPONSES, handle, addressed=settings.MQTT_EMBEDDED_BROKER)
        bridge = Bridge(account, device_address(), answering, beating)
        sessions = settings.MQTT_DATA_SESSIONS if serves_data else 0
        data = DataSessions(sessions, data_account, answering, DeviceData(device_topics), lambda: beating.peers)
        updates = AttributeUpdates(device_topics, bridge)

        def stop(*_: object) -> None:
            bridge.stop()
            data.stop()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        if data_filters:
            data.start()
        if serves_data:
            updates.start()
        finished = bridge.run()
        updates.stop()
        data.close()
        if finished:
            group_commit.close()
        beating.stop()
