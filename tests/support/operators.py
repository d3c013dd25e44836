"""Operators of each group, for tests of the admin."""

from django.apps import apps
from django.contrib.auth.models import Group, User
from django.test import Client

from console.rights import grant_rights

PASSWORD = "correct-horse-7"


def operator(group: str) -> User:
    """Return a staff user of `group`, made where a test before emptied the tables that migrations filled."""
    grant_rights(apps)
    user = User.objects.create_user(group.lower(), "", PASSWORD, is_staff=True)
    user.groups.add(Group.objects.get(name=group))
    return user


def client_of(group: str) -> Client:
    client = Client()
    client.force_login(operator(group), backend="django.contrib.auth.backends.ModelBackend")
    return client
