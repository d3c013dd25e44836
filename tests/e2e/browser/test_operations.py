"""Rotate, revoke, reveal, reset, Try it, fixes: what operators do day by day."""

import json
import re

import pytest

from tests.e2e.browser.devices import provision
from tests.e2e.browser.test_wizard import copied, make_profile

PRE_PROVISIONED = "Check for pre-provisioned devices"


def open_device(page, name):
    page.goto(f"/admin/devices/device/?q={name}")
    page.get_by_role("link", name=name, exact=True).click()
    page.get_by_role("heading", name=re.compile(rf"^{name}")).wait_for()


def test_rotate_overlaps_and_revoke_ends_one_and_blocks_its_devices(window, stack):
    window.login("Administrator")
    page = window.page
    first = make_profile(window, "Rotation")
    reply = provision(stack, "HTTP", *first, "rot-1")
    page.get_by_role("button", name="Rotate", exact=True).click()
    page.get_by_text("A second key was created.").wait_for()
    second = copied(window, "provision device key"), copied(window, "provision device secret")

    assert second != first
    assert provision(stack, "HTTP", *first, "rot-2")["status"] == "SUCCESS"
    assert provision(stack, "HTTP", *second, "rot-3")["status"] == "SUCCESS"

    page.reload()
    page.locator("tr", has_text=re.compile("^(?!.*after)", re.DOTALL)).get_by_role("link", name="Revoke").last.click()
    page.get_by_text("2 devices").wait_for()
    page.get_by_label("Block them all").check()
    page.get_by_role("button", name="Revoke").click()
    page.get_by_text("Blocked: 2 devices.").wait_for()

    assert provision(stack, "HTTP", *first, "rot-4")["status"] == "NOT_FOUND"
    assert provision(stack, "HTTP", *second, "rot-5")["status"] == "SUCCESS"
    answer = page.request.post(f"{stack.url}/api/v1/{reply['credentialsValue']}/telemetry", data=json.dumps({"t": 1}))
    assert answer.status == 401


def test_reveal_is_refused_to_a_viewer_and_recorded_for_an_operator(open_window, stack):
    administrator = open_window()
    administrator.login("Administrator")
    pair = make_profile(administrator, "Reveal")
    token = provision(stack, "HTTP", *pair, "reveal-1")["credentialsValue"]

    viewer = open_window()
    page = viewer.login("Viewer")
    open_device(page, "reveal-1")
    assert page.get_by_role("button", name="Reveal").count() == 0
    assert token not in page.content()
    refused = page.evaluate(
        """async () => (await fetch(location.pathname + "reveal/", {method: "POST",
           headers: {"X-CSRFToken": document.querySelector("[name=csrfmiddlewaretoken]")?.value || ""}})).status"""
    )
    assert refused == 403

    operator = open_window()
    page = operator.login("Operator")
    open_device(page, "reveal-1")
    page.get_by_role("button", name="Reveal").click()
    page.locator("#revealed-0").wait_for()
    assert page.locator("#revealed-0").inner_text() == token
    assert copied(operator, "access token") == token
    page.get_by_role("link", name="History", exact=True).click()
    page.get_by_text("Credentials revealed.").wait_for()
    assert token not in page.content()


def test_reset_device_provisions_once_more(window, stack):
    window.login("Administrator")
    page = window.page
    pair = make_profile(window, "Reset", PRE_PROVISIONED)
    page.goto("/admin/devices/device/add/")
    page.get_by_label("Name").fill("reset-1")
    page.get_by_label("Profile").select_option(label="Reset")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("heading", name=re.compile("^reset-1 pre-provisioned")).wait_for()

    token = provision(stack, "CoAP", *pair, "reset-1")["credentialsValue"]
    assert provision(stack, "HTTP", *pair, "reset-1")["status"] == "FAILURE"
    page.reload()
    page.get_by_role("button", name="Reset provisioning").click()
    page.get_by_role("heading", name="Reset provisioning of 1 device?").wait_for()
    page.get_by_role("button", name="Reset provisioning").click()
    page.get_by_text("Provisioning reset: 1 device.").wait_for()

    assert provision(stack, "HTTP", *pair, "reset-1")["credentialsValue"] not in (None, token), "the old one was handed out"


def test_bulk_block_asks_with_the_number(window, stack):
    window.login("Administrator")
    page = window.page
    pair = make_profile(window, "Bulk")
    for number in range(3):
        provision(stack, "HTTP", *pair, f"bulk-{number}")
    page.goto("/admin/devices/device/?q=bulk-")
    for box in page.locator("input.action-select[name=_selected_action]").all():
        box.check()
    page.locator("select[name=action]").select_option(label="Block")
    page.get_by_role("button", name="Run").click()
    page.get_by_role("heading", name="Block 3 devices?").wait_for()
    page.get_by_role("button", name="Block", exact=True).click()
    page.get_by_text("Blocked: 3 devices.").wait_for()

    page.goto("/admin/devices/device/?q=bulk-&state=blocked")
    assert page.locator("input.action-select[name=_selected_action]").count() == 3


@pytest.mark.parametrize("transport", ["HTTP", "MQTT", "CoAP"])
def test_try_it_shows_request_and_reply(window, transport):
    window.login("Administrator")
    page = window.page
    _, secret = make_profile(window, f"Try {transport}")
    page.get_by_label("Transport").select_option(label=transport)
    page.get_by_label("Device name").fill(f"tried-{transport}")
    page.get_by_role("button", name="Send").click()
    page.locator("#tried").wait_for()

    sent, got = page.locator("#tried-sent").inner_text(), page.locator("#tried-got").inner_text()
    assert {"HTTP": "POST /api/v1/provision HTTP/1.1", "MQTT": "PUBLISH", "CoAP": "CON  POST"}[transport] in sent
    assert secret in sent
    assert {"HTTP": "HTTP/1.1 200", "MQTT": "/provision/response", "CoAP": "2.01"}[transport] in got
    reply = json.loads(got[got.index("{") :])
    # Over MQTT the name may have been left out, for the size of the packet.
    assert (reply["status"], reply.get("deviceName", f"tried-{transport}")) == ("SUCCESS", f"tried-{transport}")


def test_try_it_masks_the_secrets_of_the_profile_for_an_operator(open_window):
    administrator = open_window()
    administrator.login("Administrator")
    key, secret = make_profile(administrator, "Try masked")
    address = administrator.page.url

    operator = open_window()
    page = operator.login("Operator")
    page.goto(address)
    page.get_by_role("button", name="Send").click()
    page.locator("#tried").wait_for()

    assert '"status":"SUCCESS"' in page.locator("#tried-got").inner_text().replace(" ", "")
    assert secret not in page.content()
    assert key not in page.content()


def test_a_fix_adds_a_device_and_another_resets_it(window, stack):
    window.login("Administrator")
    page = window.page
    pair = make_profile(window, "Fix", PRE_PROVISIONED)
    assert provision(stack, "HTTP", *pair, "fix-1")["status"] == "FAILURE"

    page.goto("/admin/provisioning/provisionattempt/?q=fix-1")
    page.get_by_role("link", name="Add as pre-provisioned device").click()
    page.get_by_role("heading", name="Add fix-1 to Fix?").wait_for()
    page.get_by_role("button", name="Add as pre-provisioned device").click()
    page.get_by_text("Device fix-1 added as pre-provisioned").wait_for()
    assert provision(stack, "HTTP", *pair, "fix-1")["status"] == "SUCCESS"

    assert provision(stack, "HTTP", *pair, "fix-1")["status"] == "FAILURE"
    page.goto("/admin/provisioning/provisionattempt/?q=fix-1")
    page.get_by_role("checkbox", name="Select all").first.check()
    page.get_by_label("Select action to run").select_option(label="Fix")
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("heading", name="Reset fix-1 of Fix?").wait_for()
    page.get_by_role("button", name="Reset the device").click()
    page.get_by_text("Provisioning of fix-1 reset").wait_for()
    assert page.url.endswith("?q=fix-1")
    assert provision(stack, "HTTP", *pair, "fix-1")["status"] == "SUCCESS"


def test_a_fix_extends_an_expired_key(window, stack):
    window.login("Administrator")
    page = window.page
    pair = make_profile(window, "Expired")
    stack.manage(
        "shell", "-v0", "-c",
        "from django.utils import timezone; from profiles.models import ProvisioningKey; "
        f"ProvisioningKey.objects.filter(key={pair[0]!r}).update(expires_at=timezone.now())",
    )  # fmt: skip
    assert provision(stack, "HTTP", *pair, "expired-1")["status"] == "NOT_FOUND"

    page.goto("/admin/provisioning/provisionattempt/?q=expired-1")
    page.get_by_role("link", name="Extend the key by 30 days").click()
    page.get_by_role("button", name="Extend the key by 30 days").click()
    page.get_by_text("extended by 30 days").wait_for()

    assert provision(stack, "HTTP", *pair, "expired-1")["status"] == "SUCCESS"
