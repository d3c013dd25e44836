"""A fix asks first, says what will happen, and leads back to the list as it was filtered."""

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse

from console.attempts import confirm
from devices.models import Device
from profiles.services import profile_create
from provisioning.models import ProvisionAttempt
from tests.support.operators import client_of
from tests.support.provisioning import ask, provision

pytestmark = pytest.mark.django_db

LIST = "/admin/provisioning/provisionattempt/"
FILTER = "outcome__exact=FAILURE&q=GW"


@pytest.fixture
def key():
    return profile_create(name="gateways", strategy="CHECK_PRE_PROVISIONED_DEVICES")[1]


def selection(attempts, **more):
    return {"action": "fix", "_selected_action": [str(attempt.pk) for attempt in attempts], "select_across": "0"} | more


def test_the_link_of_a_filtered_list_asks_and_leads_back_to_it(key):
    provision(ask(key, "GW-1"))
    attempt = ProvisionAttempt.objects.get()
    client = client_of("Operator")
    fix = reverse("admin:attempt_fix", args=(attempt.pk,))
    link = f"{fix}?_changelist_filters=outcome__exact%3DFAILURE%26q%3DGW"

    assert link in client.get(f"{LIST}?{FILTER}").content.decode()
    question = client.get(link).content.decode()
    assert "Add GW-1 to gateways?" in question
    assert f'href="{LIST}?outcome__exact=FAILURE&amp;q=GW"' in question
    assert client.post(link).status_code == 200  # not confirmed
    assert not Device.objects.exists()

    answer = client.post(link, {"confirmed": "1"})

    assert (answer.status_code, answer.url) == (302, f"{LIST}?{FILTER}")
    assert Device.objects.get().name == "GW-1"
    assert "From a failed attempt." in LogEntry.objects.get().change_message


def test_selected_attempts_are_fixed_together_in_the_filtered_list(key):
    for name in ("GW-1", "GW-1", "GW-2", "GW-3"):
        provision(ask(key, name))
    provision(ask(key, ""))
    client = client_of("Operator")
    everything = selection(ProvisionAttempt.objects.all())

    question = client.post(f"{LIST}?{FILTER}", everything).content.decode()
    assert "Apply 3 fixes?" in question
    assert "Add GW-2 to gateways" in question

    # The list refuses what its filter hides, so the unnamed attempt is not in it.
    answer = client.post(f"{LIST}?{FILTER}", everything | {"confirmed": "1"}, follow=True)

    assert answer.redirect_chain[0][0] == f"{LIST}?{FILTER}"
    assert sorted(Device.objects.values_list("name", flat=True)) == ["GW-1", "GW-2", "GW-3"]
    assert LogEntry.objects.count() == 3


def test_a_fix_that_helps_no_more_says_so_and_changes_nothing(key):
    provision(ask(key, "GW-1"))
    attempt = ProvisionAttempt.objects.get()
    client = client_of("Operator")
    fix = reverse("admin:attempt_fix", args=(attempt.pk,))
    client.post(fix, {"confirmed": "1"})

    assert "Nothing to fix" in client.get(fix).content.decode()
    assert "Already fixed." in client.post(fix, {"confirmed": "1"}, follow=True).content.decode()
    assert LogEntry.objects.count() == 1


def test_only_so_many_are_looked_at_and_the_page_says_so(key, monkeypatch):
    monkeypatch.setattr(confirm, "MAX_AT_ONCE", 2)
    for name in ("GW-1", "GW-2", "GW-3"):
        provision(ask(key, name))
    client = client_of("Operator")

    question = client.post(LIST, selection(ProvisionAttempt.objects.all())).content.decode()

    assert "Apply 2 fixes?" in question
    assert "only the latest 2 are looked at" in question


def test_whoever_may_fix_nothing_is_offered_no_fix(key):
    provision(ask(key, "GW-1"))
    attempt = ProvisionAttempt.objects.get()
    client = client_of("Viewer")

    page = client.get(LIST).content.decode()

    assert "/fix/" not in page
    assert 'name="action"' not in page
    assert client.get(reverse("admin:attempt_fix", args=(attempt.pk,))).status_code == 403
