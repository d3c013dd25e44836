"""What can be done to brokers."""

import hmac
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from brokers.models import Broker
from core.encryption import lookup_id
from core.model_update import model_update
from core.random_text import random_alphanumeric
from core.unique import unique
from profiles.services import secret_problem

NAME_TAKEN = "A broker of this name exists already."
SECRET_LENGTH = 32


@transaction.atomic
def broker_create(*, name: str, kind: str, secret: str | None = None, **fields: Any) -> Broker:
    """Return a new broker; its secret is generated if none is given. Raises ValidationError, and then nothing was made."""
    if secret is not None and (problem := broker_secret_problem(secret)):
        raise ValidationError({"secret": problem})
    broker = Broker(name=name.strip(), kind=kind, **fields)
    _set_secret(broker, secret or random_alphanumeric(SECRET_LENGTH))
    broker.full_clean()
    with unique("name", NAME_TAKEN):
        broker.save(force_insert=True)
    return broker


@transaction.atomic
def broker_update(*, broker: Broker, **fields: Any) -> list[str]:
    """Set `fields` of `broker`; return the names of those that changed. Raises ValidationError, and then none did."""
    locked = Broker.objects.select_for_update(no_key=True).get(pk=broker.pk)
    return model_update(locked, fields, taken=NAME_TAKEN)


@transaction.atomic
def broker_rotate_secret(*, broker: Broker) -> None:
    """Give `broker` a new secret. The old one is refused within a second."""
    locked = Broker.objects.select_for_update(no_key=True).get(pk=broker.pk)
    _set_secret(locked, random_alphanumeric(SECRET_LENGTH))
    locked.save(update_fields=["secret", "secret_hash", "updated_at"])
    broker.secret, broker.secret_hash = locked.secret, locked.secret_hash


def broker_delete(*, broker: Broker) -> None:
    """Delete `broker`. Its calls are refused within a second."""
    broker.delete()


def has_secret(broker: Broker, presented: str) -> bool:
    """Return whether `presented` is the secret of `broker`, in constant time and without decryption."""
    return hmac.compare_digest(_secret_hash(presented), broker.secret_hash)


def broker_secret_problem(value: str) -> str:
    """Return what is wrong with `value` as a broker's secret, "" if nothing is. It must fit into a URL and a header as it is."""
    if problem := secret_problem(value):
        return problem
    if not value.isascii() or not all(character.isalnum() or character in "-_.~" for character in value):
        return "It must consist of letters, digits and - . _ ~ only."
    return ""


def _set_secret(broker: Broker, secret: str) -> None:
    broker.secret, broker.secret_hash = secret, _secret_hash(secret)


def _secret_hash(secret: str) -> str:
    # A lone surrogate, which a query string can bring, has no UTF-8 form.
    return lookup_id("broker secret", secret.encode(errors="replace").decode())
