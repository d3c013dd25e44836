"""The title of a page says what the page is."""

import re

import pytest
from django.urls import reverse

from tests.support.operators import client_of

LISTS = {
    "profiles_deviceprofile": "Device profiles",
    "devices_device": "Devices",
    "imports_importjob": "Imports",
    "provisioning_provisionattempt": "Provision attempts",
    "provisioning_rejectedrequest": "Rejected requests",
    "operations_heartbeat": "Processes",
    "admin_logentry": "Changes",
    "auth_user": "Users",
    "auth_group": "Groups",
    "axes_accessattempt": "Failed logins",
}


@pytest.mark.django_db
@pytest.mark.parametrize(("name", "title"), LISTS.items())
def test_list_has_the_title_of_its_menu_entry(name, title):
    page = client_of("Administrator").get(reverse(f"admin:{name}_changelist")).content.decode()

    found = re.search(r"<title>\s*(.*?)\s*</title>", page, re.DOTALL)
    assert found
    assert found[1].split("|")[0].strip() == title
    assert f">{title}<" in re.sub(r">\s+|\s+<", lambda gap: gap[0].strip(), page)
