"""From login to a device that provisions itself with what the operator copied."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.browser.devices import provision, reply_of
from tests.e2e.browser.window import Operator
from tests.support.processes import program, wait_for

SNIPPETS = ("curl", "mosquitto", "coap-client", "paho", "aiocoap")


def copied(window, name):
    """Return what the *Copy* button of `name` puts on the clipboard, once the page says that it did."""
    window.page.get_by_role("button", name=f"Copy {name}", exact=True).click()
    window.page.get_by_text(f"{name.capitalize()} copied.").wait_for()
    return window.clipboard()


def make_profile(window, name, strategy="Allow to create new devices"):
    """Return key and secret of a new profile as its page copies them; the window stays on that page."""
    page = window.page
    page.goto("/admin/profiles/deviceprofile/add/")
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Next").click()
    page.get_by_role("radio", name=strategy).check()
    page.get_by_role("button", name="Create profile").click()
    page.get_by_role("heading", name=re.compile(f"^{name}"), level=1).wait_for()
    return copied(window, "provision device key"), copied(window, "provision device secret")


def test_wizard_ends_in_devices_that_provision_over_each_transport(window, stack):
    window.login("Administrator")
    page = window.page
    page.get_by_role("link", name="Device profiles").first.click()
    page.locator("a[href$='/add/']").first.click()
    page.get_by_label("Name").fill("Over each transport")
    page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Next").click()
    offered = copied(window, "provision device key"), copied(window, "provision device secret")
    assert all(re.fullmatch(r"[A-Za-z0-9]{20}", text) for text in offered)

    page.get_by_role("button", name="Regenerate provision device secret").click()
    key, secret = offered[0], copied(window, "provision device secret")
    assert secret != offered[1]
    assert re.fullmatch(r"[A-Za-z0-9]{20}", secret)
    page.get_by_role("button", name="Create profile").click()
    page.get_by_role("heading", name=re.compile("^Over each transport")).wait_for()

    assert (copied(window, "provision device key"), copied(window, "provision device secret")) == (key, secret)
    for transport in ("HTTP", "MQTT", "CoAP"):
        reply = provision(stack, transport, key, secret, f"wizard-{transport}")
        # Over MQTT the name may have been left out, for the size of the packet.
        assert (reply["status"], reply.get("deviceName", f"wizard-{transport}")) == ("SUCCESS", f"wizard-{transport}")
    page.reload()
    assert secret not in page.content()
    for transport in ("HTTP", "MQTT", "CoAP"):
        page.get_by_role("cell", name=f"wizard-{transport}").wait_for()


def test_wizard_by_keyboard_alone_goes_back_and_forth_and_loses_nothing(window):
    window.login("Administrator")
    page = window.page
    keyboard = page.keyboard

    def tab_to(element_id):
        for _ in range(60):
            if page.evaluate("document.activeElement.id") == element_id:
                return
            keyboard.press("Tab")
        raise AssertionError(f"the Tab key does not lead to {element_id}")

    page.goto("/admin/profiles/deviceprofile/add/")
    tab_to("id_details-name")
    keyboard.press("Enter")
    page.get_by_text("A profile needs a name.").wait_for()
    tab_to("id_details-name")
    keyboard.type("By keyboard")
    tab_to("id_attributes-0-key")
    keyboard.type("room")
    keyboard.press("Tab")
    keyboard.type("12")
    keyboard.press("Enter")
    page.get_by_role("heading", name="Permissions").wait_for()
    tab_to("id_permissions-allow_gateways")
    keyboard.press("Space")
    tab_to("id_permissions-name_pattern")
    keyboard.type("KB-*")
    keyboard.press("Enter")
    page.get_by_role("heading", name="Provisioning", exact=True).wait_for()
    secret = page.input_value("#id_provisioning-secret")

    page.get_by_role("button", name="Back").press("Enter")
    page.get_by_role("heading", name="Permissions").wait_for()
    assert not page.is_checked("#id_permissions-allow_gateways")
    assert page.input_value("#id_permissions-name_pattern") == "KB-*"
    page.get_by_role("button", name="Back").press("Enter")
    page.get_by_role("heading", name="Details").wait_for()
    assert (page.input_value("#id_details-name"), page.input_value("#id_attributes-0-value")) == ("By keyboard", "12")

    page.get_by_role("button", name="Next").press("Enter")
    page.get_by_role("button", name="Next").press("Enter")
    page.get_by_role("heading", name="Provisioning", exact=True).wait_for()
    assert page.input_value("#id_provisioning-secret") == secret
    page.get_by_role("button", name="Create profile").press("Enter")
    page.get_by_role("heading", name=re.compile("^By keyboard")).wait_for()
    page.get_by_text("room = 12").wait_for()


def test_too_short_secret_is_an_error_at_its_field(window):
    window.login("Administrator")
    page = window.page
    page.goto("/admin/profiles/deviceprofile/add/")
    page.get_by_label("Name").fill("Too short")
    page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Next").click()
    page.fill("#id_provisioning-secret", "short")
    page.get_by_role("button", name="Create profile").click()

    assert page.locator("#id_provisioning-secret_error").inner_text() == "It needs 16 to 255 characters."
    assert page.get_attribute("#id_provisioning-secret", "aria-invalid") == "true"


@pytest.fixture(scope="module")
def snippet_texts(browser, stack):
    """The snippets of one profile, as its page shows them after the wizard."""
    window = Operator(browser, stack.url)
    window.login("Administrator")
    make_profile(window, "Snippets")
    texts = {name: window.page.locator(f"#snippet-{name}").text_content() for name in (*SNIPPETS, "arduino")}
    window.context.close()
    return texts


@pytest.mark.parametrize("name", SNIPPETS)
def test_snippet_as_shown_provisions_a_device(snippet_texts, name, tmp_path):
    text = snippet_texts[name].replace('"my-device', f'"{name}-device')
    if name in ("paho", "aiocoap"):
        command = [sys.executable, str(tmp_path / "snippet.py")]
        Path(command[1]).write_text(text)
    else:
        # mosquitto: the first of the two commands prints a reply, the second needs none.
        command = [program("bash", "bash"), "-ec", text.partition("\n\n#")[0]]

    reply = reply_of(command)

    assert (reply["status"], reply.get("deviceName", f"{name}-device")) == ("SUCCESS", f"{name}-device")


def test_snippet_of_mosquitto_pub_registers_the_device_with_its_own_token(snippet_texts, stack, window):
    text = snippet_texts["mosquitto"].replace('"my-device', '"pub-device').partition("\n\n#")[2]
    subprocess.run([program("bash", "bash"), "-ec", f"#{text}"], check=True, timeout=20)

    window.login("Viewer")
    page = window.page

    def registered():
        page.goto("/admin/devices/device/?q=CHANGE-ME-own-token")
        return page.get_by_role("link", name="pub-device-own-token").count() == 1

    wait_for(registered, "the device that mosquitto_pub registered")


def test_arduino_snippet_has_the_pair_and_the_address(snippet_texts, stack):
    assert f'mqtt.setServer("127.0.0.1", {stack.mqtt_port});' in snippet_texts["arduino"]
    assert "PROVISION_DEVICE_KEY" not in snippet_texts["arduino"]
