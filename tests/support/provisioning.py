"""Profiles, requests and secrets for tests of the core."""

import base64
import io
from collections.abc import Iterable
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.core.management import call_command
from django.core.management.color import no_style
from django.db import connection
from django.db.models import F

from devices.models import Device, DeviceAttribute, DeviceCredentials
from devices.services import device_create
from profiles.choices import Strategy
from profiles.models import DeviceProfile, ProvisioningKey
from profiles.services import profile_create
from provisioning.choices import ProvisionStatus, Reason, Transport
from provisioning.group_commit import GroupCommit
from provisioning.messages import Origin, ProvisionOutcome, ProvisionRequest
from provisioning.services import provision_batch

ADDRESS = "192.0.2.1"


def creating(**fields: Any) -> ProvisioningKey:
    """Return the key of a new profile that allows to create devices."""
    return _key(Strategy.ALLOW_CREATE, fields)


def checking(*names: str, **fields: Any) -> ProvisioningKey:
    """Return the key of a new profile that checks for pre-provisioned devices, and has those of `names`."""
    key = _key(Strategy.CHECK_PRE_PROVISIONED, fields)
    for name in names:
        device_create(name=name, profile=key.profile)
    return key


def _key(strategy: Strategy, fields: dict[str, Any]) -> ProvisioningKey:
    name = fields.pop("name", f"{strategy.label} {DeviceProfile.objects.count()}")
    return profile_create(name=name, strategy=strategy, **fields)[1]


def ask(key: ProvisioningKey, name: str | None = None, /, *, address: str = ADDRESS, **fields: Any) -> ProvisionRequest:
    """Return a request with `key`; `fields` are those of ProvisionRequest."""
    origin = fields.pop("origin", Origin(Transport.HTTP, address))
    return ProvisionRequest(**{"origin": origin, "key": key.key, "secret": key.secret, "device_name": name} | fields)


def submitted(queue: GroupCommit, request: ProvisionRequest) -> "Future[ProvisionOutcome]":
    """Return a future of the outcome of `request` in `queue`."""
    result: Future[ProvisionOutcome] = Future()
    queue.submit(request, result.set_result)
    return result


def provision(request: ProvisionRequest) -> ProvisionOutcome:
    """Return the outcome of one request."""
    (outcome,) = provision_batch([request])
    return outcome


def age(device: Device | None = None, **delta: float) -> None:
    """Let `device`, or all, have been provisioned longer ago by timedelta(**delta)."""
    devices = Device.objects.filter(pk=device.pk) if device else Device.objects.all()
    devices.exclude(provisioned_at=None).update(provisioned_at=F("provisioned_at") - timedelta(**delta))


def certificate(common_name: str = "sensor-1") -> tuple[str, bytes]:
    """Return a self-signed certificate as PEM and DER, the same one for the same name."""
    return _certificate(common_name)


@cache
def _certificate(common_name: str) -> tuple[str, bytes]:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2046, 1, 1, tzinfo=UTC))
    )
    made = builder.sign(private, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM).decode(), made.public_bytes(serialization.Encoding.DER)


def certificate_text(common_name: str = "sensor-1") -> str:
    """Return the base64 body of `certificate`, with no line breaks."""
    return base64.b64encode(certificate(common_name)[1]).decode()


def database_text(tables: Iterable[str] | None = None) -> str:
    """Return the whole content of the database, every row of every table as stored."""
    parts = []
    with connection.cursor() as cursor:
        for table in tables or connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            parts += [repr(row) for row in cursor.fetchall()]
    return "\n".join(parts)


def empty_database() -> None:
    """Delete all rows of our own tables, faster than a flush of everything."""
    from django.apps import apps

    models = [
        model for label in ("provisioning", "devices", "profiles", "events") for model in apps.get_app_config(label).get_models()
    ]
    statements = connection.ops.sql_flush(no_style(), [model._meta.db_table for model in models], allow_cascade=True)
    if connection.vendor == "postgresql":
        # TRUNCATE costs some 50 ms of file handling, which is most of a test's time.
        statements = [f"DELETE FROM {model._meta.db_table}" for model in models]
    connection.ops.execute_sql_flush(statements)


def command(name: str, *arguments: str, **options: Any) -> str:
    """Return what a management command prints."""
    out = io.StringIO()
    call_command(name, *arguments, stdout=out, **options)
    return out.getvalue()


def assert_refused(outcome: ProvisionOutcome, status: ProvisionStatus, reason: Reason, *, devices: int = 0) -> None:
    """Assert that a request was refused and nothing was stored; `devices` were there before, pre-provisioned."""
    assert (outcome.status, outcome.reason) == (status, reason)
    assert (outcome.device_id, outcome.device_name, outcome.credentials) == (None, "", None)
    assert Device.objects.count() == DeviceCredentials.objects.count() == devices
    assert not Device.objects.exclude(provisioned_at=None).exists()
    assert not DeviceAttribute.objects.exists()
