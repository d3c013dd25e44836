"""The first run: creates an admin user and a demo profile."""

from dataclasses import dataclass, field

from django.contrib.auth import get_user_model
from django.db import transaction

from core.random_text import random_alphanumeric
from profiles.choices import Strategy
from profiles.services import profile_create

ADMIN_NAME = "admin"
DEMO_PROFILE = "Demo"


@dataclass(frozen=True, slots=True)
class FirstRun:
    """The credentials created by the first run. They are printed once."""

    username: str
    password: str = field(repr=False)
    key: str = field(repr=False)
    secret: str = field(repr=False)


@transaction.atomic
def first_run() -> FirstRun | None:
    """Create the admin user and the demo profile, and return them. Returns None if there is a user already."""
    users = get_user_model()._default_manager
    if users.exists():
        return None
    password = random_alphanumeric()
    users.create_superuser(username=ADMIN_NAME, password=password)
    _, key = profile_create(
        name=DEMO_PROFILE,
        strategy=Strategy.ALLOW_CREATE,
        description="Created by the first run for trying things out. Set its strategy to Disabled when you are done.",
    )
    return FirstRun(ADMIN_NAME, password, key.key, key.secret)
