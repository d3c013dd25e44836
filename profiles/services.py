"""Services that create and change profiles and their keys."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Model, ProtectedError
from django.utils import timezone

from core.encryption import EncryptedBinaryField, EncryptedTextField
from core.model_update import model_update
from core.random_text import random_alphanumeric
from core.text import has_control_characters
from core.unique import unique
from events.choices import Kind
from events.services import NewEvent, record
from profiles.choices import SecretUse
from profiles.models import DeviceProfile, ProvisioningKey

MIN_SECRET_LENGTH = 16
MAX_SECRET_LENGTH = 255
ROTATE_CHUNK = 500
NAME_TAKEN = "A profile with this name already exists."


@transaction.atomic
def profile_create(
    *,
    name: str,
    strategy: str,
    key: str | None = None,
    secret: str | None = None,
    secret_use: str = SecretUse.SHARED,
    **fields: Any,
) -> tuple[DeviceProfile, ProvisioningKey]:
    """Return a new profile and its first key. Raises ValidationError and then creates nothing.

    Key and secret are generated if not given.
    """
    profile = DeviceProfile(name=name.strip(), strategy=strategy, **fields)
    profile.full_clean()
    with unique("name", NAME_TAKEN):
        profile.save(force_insert=True)
    return profile, key_create(profile=profile, key=key, secret=secret, secret_use=secret_use)


@transaction.atomic
def profile_update(*, profile: DeviceProfile, **fields: Any) -> list[str]:
    """Set `fields` of `profile`; return the names of those that changed. Raises ValidationError and then changes nothing.

    The row is locked, so that a concurrent change of other fields is not undone.
    """
    locked = DeviceProfile.objects.select_for_update().get(pk=profile.pk)
    return model_update(locked, fields, taken=NAME_TAKEN)


def profile_delete(*, profile: DeviceProfile) -> None:
    """Delete `profile` and its keys. Raises ValidationError if it has devices."""
    try:
        profile.delete()
    except ProtectedError:
        raise ValidationError("The profile has devices. Move or delete them first.") from None


def key_create(
    *, profile: DeviceProfile, key: str | None = None, secret: str | None = None, label: str = "", **options: Any
) -> ProvisioningKey:
    """Return a new key of `profile`; the others keep working. Raises ValidationError."""
    errors = {
        field: problem
        for field, value in (("key", key), ("secret", secret))
        if value is not None and (problem := secret_problem(value))
    }
    if errors:
        raise ValidationError(errors)
    made = ProvisioningKey(
        profile=profile,
        key=key or random_alphanumeric(),
        secret=secret or random_alphanumeric(),
        label=label,
        **options,
    )
    made.full_clean()
    with unique("key", "This key already exists."):
        made.save(force_insert=True)
    return made


@transaction.atomic
def key_revoke(*, key: ProvisioningKey) -> bool:
    """Revoke `key`, at once and everywhere. Returns False if it was revoked before."""
    revoked = ProvisioningKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now()) == 1
    if revoked:
        record([NewEvent(Kind.KEY_REVOKED, profile_id=key.profile_id, data={"key_id": str(key.pk)})])
    return revoked


def key_rotate(*, key: ProvisioningKey, label: str = "", secret_use: str = "") -> ProvisioningKey:
    """Return a new key of the profile of `key`, which keeps working until it is revoked or expires.

    The new key has the use limit of the old one, no uses yet and no expiry; and its use of the secret unless `secret_use`
    is given.
    """
    return key_create(
        profile=key.profile,
        label=label or f"after {key}"[:MAX_SECRET_LENGTH],
        use_limit=key.use_limit,
        secret_use=secret_use or key.secret_use,
    )


@transaction.atomic
def key_update(*, key: ProvisioningKey, label: str, expires_at: datetime | None, use_limit: int | None) -> list[str]:
    """Set label, expiry and use limit of `key`; return the names of those that changed.

    Raises ValidationError and then changes nothing. A first limit does not apply to requests being processed.
    """
    # Not no_key: waits for devices that are just being created with the key, so that they are counted.
    locked = ProvisioningKey.objects.select_for_update().get(pk=key.pk)
    values = {"label": label.strip(), "expires_at": expires_at, "use_limit": use_limit}
    changed = [name for name, value in values.items() if getattr(locked, name) != value]
    if "expires_at" in changed and not key_extend(key=locked, until=expires_at):
        raise ValidationError({"expires_at": "The key is revoked. This is final."})
    if "use_limit" in changed:
        _key_limit(locked, use_limit)
    if "label" in changed:
        ProvisioningKey.objects.filter(pk=key.pk).update(label=values["label"])
    return changed


def _key_limit(locked: ProvisioningKey, use_limit: int | None) -> None:
    # Uses are counted only under a limit: a first limit starts with the number of existing devices.
    uses = locked.devices.count() if locked.use_limit is None else locked.uses
    if use_limit is not None and use_limit < uses:
        raise ValidationError({"use_limit": f"It was used {uses} times before."})
    ProvisioningKey.objects.filter(pk=locked.pk).update(use_limit=use_limit, uses=uses)


def key_extend(*, key: ProvisioningKey, until: datetime | None) -> bool:
    """Let `key` expire at `until`, never if that is None. Returns False if it was revoked, which is final.

    Raises ValidationError if `until` is in the past.
    """
    if until is not None and until <= timezone.now():
        raise ValidationError({"expires_at": "This time is in the past."})
    return ProvisioningKey.objects.filter(pk=key.pk, revoked_at=None).update(expires_at=until) == 1


def secret_problem(value: str) -> str:
    """Return what is wrong with `value` as a key or secret, "" if nothing."""
    if not MIN_SECRET_LENGTH <= len(value) <= MAX_SECRET_LENGTH:
        return f"It needs {MIN_SECRET_LENGTH} to {MAX_SECRET_LENGTH} characters."
    if has_control_characters(value) or value != value.strip():
        return "Control characters and leading or trailing blanks are not allowed."
    return ""


def encryption_rotate() -> dict[str, int]:
    """Re-encrypt every encrypted field of every model under the newest key, row locks held a chunk at a time.

    Returns the number of rows by model. Safe to run while the service runs, and to run again.
    """
    counts = {}
    for model in apps.get_models():
        fields = [
            field.name for field in model._meta.concrete_fields if isinstance(field, EncryptedTextField | EncryptedBinaryField)
        ]
        if fields:
            counts[model.__name__] = sum(_rotate_chunks(model, fields))
    return counts


def _rotate_chunks(model: type[Model], fields: list[str]) -> Iterator[int]:
    rows = model._default_manager.order_by("pk").only("pk", *fields)
    last = None
    while True:
        with transaction.atomic():
            after = rows if last is None else rows.filter(pk__gt=last)
            chunk = list(after.select_for_update(of=("self",))[:ROTATE_CHUNK])
            if not chunk:
                return
            model._default_manager.bulk_update(chunk, fields)
        last = chunk[-1].pk
        yield len(chunk)
