"""`manage.py unblock_device NAME…`."""

from django.db.models import QuerySet

from devices.bulk_services import devices_unblock
from devices.management.device_names import DeviceNamesCommand
from devices.models import Device


class Command(DeviceNamesCommand):
    help = "Unblock devices: they can use the credentials that they have again."

    def apply(self, devices: QuerySet[Device]) -> str:
        return f"Unblocked: {devices_unblock(devices=devices)}"
