"""`manage.py block_device NAME…`."""

from django.db.models import QuerySet

from devices.bulk_services import devices_block
from devices.management.device_names import DeviceNamesCommand
from devices.models import Device


class Command(DeviceNamesCommand):
    help = "Block devices: they can neither provision nor connect, and their sessions end."

    def apply(self, devices: QuerySet[Device]) -> str:
        return f"Blocked: {devices_block(devices=devices)}"
