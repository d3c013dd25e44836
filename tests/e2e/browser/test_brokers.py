"""Brokers: add one and copy its configuration, test it, and what the dashboard warns about. With a real Mosquitto."""

import re

import pytest
from playwright.sync_api import expect

from tests.e2e.browser.test_wizard import copied
from tests.support import mosquitto_plugin
from tests.support.mosquitto import Mosquitto
from tests.support.mosquitto_plugin import INSTALLED, PluginMosquitto
from tests.support.processes import lasting_port

# The test itself waits up to 10 s for each of several things that a broker does.
TEST_MS = 120_000
DEVICES = ("Admitted", "Denied", "Eavesdropping", "Revoked")
SILENT = """
import datetime
from django.utils import timezone
from brokers.models import Broker
from brokers.services import broker_create
broker = broker_create(name="Plant silent", kind="emqx")
Broker.objects.filter(pk=broker.pk).update(last_asked_at=timezone.now() - datetime.timedelta(days=3))
"""


@pytest.fixture(autouse=True)
def _no_broker_is_left(stack):
    """Other tests share the product, and its dashboard."""
    yield
    stack.manage("shell", "-v0", "-c", "from brokers.models import Broker; Broker.objects.all().delete()")


@pytest.fixture
def built(tmp_path_factory):
    return mosquitto_plugin.build_once(tmp_path_factory)


def finding(page, device):
    """Return what the test of a broker says about one of its devices."""
    return page.get_by_label("Result of the test").get_by_role("listitem").filter(has_text=re.compile(f"^{device}"))


def add_broker(page, name, kind, mqtt_url):
    page.goto("/admin/brokers/broker/add/")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Which broker is it").select_option(kind)
    page.get_by_label("MQTT address").fill(mqtt_url)
    page.get_by_role("button", name="Add broker").click()
    page.get_by_role("heading", name="Configuration").wait_for()


def test_broker_is_added_configured_from_the_page_and_passes_its_test(window, stack, built, tmp_path):
    page = window.login("Administrator")
    port = lasting_port()
    add_broker(page, "Plant 7", "mosquitto", f"mqtt://127.0.0.1:{port}")
    assert window.barriers() == []

    configuration, secret = copied(window, "configuration"), copied(window, "secret")
    assert f"plugin_opt_secret {secret}" in configuration
    assert f"plugin_opt_url {stack.url}\n" in configuration
    assert f"plugin {INSTALLED}\n" in configuration
    page.reload()
    assert secret not in page.content()

    broker = PluginMosquitto(tmp_path / "broker", built, stack.url, printed=f"{configuration}\n", port=port).start()
    try:
        broker.wait_for_log("a new list of")
        page.get_by_role("button", name="Test the broker").click()
        for device in DEVICES:
            expect(finding(page, device)).to_contain_text("passed", timeout=TEST_MS)
        expect(finding(page, "Eavesdropping")).to_contain_text("heard nothing")
        expect(finding(page, "Revoked")).to_contain_text("its session ended")
        assert window.barriers() == []
    finally:
        broker.stop()
    # The devices of the test are gone, and no warning is left.
    page.goto("/admin/devices/device/?q=Broker test")
    page.get_by_text("0 devices").first.wait_for()
    page.goto("/admin/")
    assert page.get_by_text(re.compile("broker Plant 7")).count() == 0


def test_dashboard_warns_of_brokers_that_admit_anyone_or_have_not_asked_for_long(window, stack, tmp_path):
    page = window.login("Administrator")
    mosquitto = Mosquitto(tmp_path / "open", open_to_all=True)
    mosquitto.start()
    try:
        add_broker(page, "Plant open", "emqx", f"mqtt://127.0.0.1:{mosquitto.device_port}")
        page.get_by_role("button", name="Test the broker").click()
        expect(finding(page, "Denied")).to_contain_text("the broker does not ask", timeout=TEST_MS)
        expect(finding(page, "Denied")).to_contain_text("failed")
    finally:
        mosquitto.stop()
    stack.manage("shell", "-v0", "-c", SILENT)

    page.goto("/admin/")
    open_warning = page.get_by_role("link", name=re.compile("Plant open lets in a client with made-up credentials"))
    page.get_by_role("link", name=re.compile("Plant silent has not asked")).wait_for()
    open_warning.click()
    page.get_by_role("heading", name=re.compile("Plant open admits anyone")).wait_for()
    assert window.barriers() == []
