"""Which device owns a certificate: the one that proved to have its key. Until then, any number of devices may name it.

A certificate is public, so a device that only names one proves nothing: it must not keep the owner out. A TLS connection
proves possession of the key. It makes the certificate the device's own and removes it from the others.
Source: docs/protocol.md, *Connecting*.
"""

import logging

from django.db import IntegrityError, transaction
from django.utils import timezone

from devices.credentials import certificate_id, generated_token
from devices.models import Device, DeviceCredentials
from events.choices import Kind
from events.services import NewEvent, record

log = logging.getLogger(__name__)


def certificate_holder(der: bytes, *, client_id: str) -> DeviceCredentials | None:
    """Return the credentials that a TLS client with this certificate has; among several claims, those of device `client_id`."""
    digest = certificate_id(der)
    rows = DeviceCredentials.objects.select_related("device__profile")
    proven = rows.filter(credentials_id=digest).first()
    if proven:
        return proven
    claims = rows.filter(certificate_claim=digest)
    first, second = [*claims.order_by("pk")[:2], None, None][:2]
    return claims.filter(device__name=client_id).first() if second else first


@transaction.atomic
def certificate_prove(*, credentials: DeviceCredentials) -> bool:
    """Make a certificate that was claimed the device's own. Return False if another device was first.

    The other devices that named it get new access tokens, which are not disclosed to anyone.
    """
    digest = credentials.certificate_claim
    claims = list(DeviceCredentials.objects.select_for_update().filter(certificate_claim=digest).order_by("pk"))
    won = [row for row in claims if row.pk == credentials.pk]
    if not won:
        return DeviceCredentials.objects.filter(pk=credentials.pk, credentials_id=digest).exists()
    try:
        with transaction.atomic():
            DeviceCredentials.objects.filter(pk=credentials.pk).update(credentials_id=digest, certificate_claim="")
    except IntegrityError:
        return False
    lost = [row for row in claims if row.pk != credentials.pk]
    for row in lost:
        row.retire(generated_token())
        row.save()
    Device.objects.filter(pk__in=[row.pk for row in lost]).update(retry_id="", updated_at=timezone.now())
    profiles = dict(Device.objects.filter(pk__in=[row.pk for row in lost]).values_list("pk", "profile_id"))
    record(NewEvent(Kind.CREDENTIALS_CHANGED, device_id, profile_id) for device_id, profile_id in profiles.items())
    if lost:
        log.warning("Device %s proved its certificate; %d others that had named it lost it", credentials.pk, len(lost))
    return True
