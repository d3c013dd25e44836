"""One side of benchmarks/imports.py, in a process of its own: `bare` or `import`, and the CSV file."""

import csv
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import django

django.setup()

from django.db import transaction
from django.utils import timezone

from core.ids import new_id
from devices.credentials import AccessToken
from devices.models import Device, DeviceCredentials
from imports import bulk
from imports.columns import mapped
from imports.csv.file_format import detect
from imports.csv.records import Records
from imports.pipeline import ImportSpec, import_file
from imports.row_parser import to_stored
from profiles.models import DeviceProfile
from profiles.services import profile_create

DEVICE = (
    "id",
    "name",
    "label",
    "description",
    "profile",
    "gateway",
    "blocked",
    "retry_id",
    "created_at",
    "updated_at",
    "import_job",
)
CREDENTIALS = ("device", "type", "credentials_id", "value", "generated", "updated_at")


def bare(path: Path, profile: DeviceProfile) -> Callable[[], None]:
    """Prepare the rows, and return what writes them."""
    at = bulk.moment(timezone.now())
    devices, credentials = [], []
    for name, token, label, *_ in list(csv.reader(path.open()))[1:]:
        pk, to_storeded = new_id().hex, to_stored(AccessToken(token))
        devices.append((pk, name, label, "", profile.pk.hex, False, False, "", at, at, None))
        credentials.append((pk, "ACCESS_TOKEN", to_storeded.id, to_storeded.value, False, at))

    def work() -> None:
        with transaction.atomic():
            bulk.insert(Device, DEVICE, devices)
            bulk.insert(DeviceCredentials, CREDENTIALS, credentials)

    return work


def imported(path: Path, profile: DeviceProfile) -> Callable[[], None]:
    """Return what imports the list."""

    def work() -> None:
        file = path.open("rb")
        form = detect(file)
        columns = mapped(Records(path.open("rb"), form).headers, {})
        import_file(file, ImportSpec(form, columns, profile))

    return work


def main(side: str, path: Path) -> None:
    profile, _ = profile_create(name="benchmark", strategy="CHECK_PRE_PROVISIONED_DEVICES")
    work = {"bare": bare, "import": imported}[side](path, profile)
    before_s, started = cpu_s(), time.monotonic()
    work()
    seconds, used_s = time.monotonic() - started, cpu_s() - before_s
    rows = Device.objects.count()
    assert rows == DeviceCredentials.objects.count() > 0
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rows_per_s": rows / seconds, "cpu_s": used_s, "peak_mb": peak_mb}))


def cpu_s() -> float:
    """Return the CPU time that this process and its ended children have had; the database server's is not in it."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


main(sys.argv[1], Path(sys.argv[2]))
