"""One side of benchmarks/imports.py, in a process of its own: `bare` or `import`, and the CSV file."""

import csv
import json
import resource
import sys
import time
from pathlib import Path

import django

django.setup()

from django.db import transaction  # noqa: E402
from django.utils import timezone  # noqa: E402

from devices.credentials import AccessToken  # noqa: E402
from devices.imports import bulk  # noqa: E402
from devices.imports.columns import mapped  # noqa: E402
from devices.imports.engine import Order, import_file  # noqa: E402
from devices.imports.files import detect  # noqa: E402
from devices.imports.reading import Records  # noqa: E402
from devices.imports.rows import seal  # noqa: E402
from devices.models import Device, DeviceCredentials  # noqa: E402
from profiles.models import DeviceProfile, new_id  # noqa: E402
from profiles.services import profile_create  # noqa: E402

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


def bare(path: Path, profile: DeviceProfile) -> float:
    """Return the seconds that writing the prepared rows takes."""
    at = bulk.moment(timezone.now())
    devices, credentials = [], []
    for name, token, label, *_ in list(csv.reader(path.open()))[1:]:
        pk, sealed = new_id().hex, seal(AccessToken(token))
        devices.append((pk, name, label, "", profile.pk.hex, False, False, "", at, at, None))
        credentials.append((pk, "ACCESS_TOKEN", sealed.id, sealed.value, False, at))
    started = time.monotonic()
    with transaction.atomic():
        bulk.insert(Device, DEVICE, devices)
        bulk.insert(DeviceCredentials, CREDENTIALS, credentials)
    return time.monotonic() - started


def imported(path: Path, profile: DeviceProfile) -> float:
    """Return the seconds that the import takes."""
    started = time.monotonic()
    file = path.open("rb")
    form = detect(file)
    columns = mapped(Records(path.open("rb"), form).headers, {})
    import_file(file, Order(form, columns, profile))
    return time.monotonic() - started


def main(side: str, path: Path) -> None:
    profile, _ = profile_create(name="benchmark", strategy="CHECK_PRE_PROVISIONED_DEVICES")
    seconds = {"bare": bare, "import": imported}[side](path, profile)
    rows = Device.objects.count()
    assert rows == DeviceCredentials.objects.count() > 0
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rows_per_s": rows / seconds, "peak_mb": peak_mb}))


main(sys.argv[1], Path(sys.argv[2]))
