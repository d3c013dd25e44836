"""`make screenshots`: docs/images/*.png, from the whole product with a factory's day in it.

The product is started with data of its own in a temporary folder, and stopped again.
"""

import json
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.e2e.browser.devices import provision
from tests.e2e.browser.test_wizard import make_profile
from tests.e2e.browser.window import CHROMIUM_OPTIONS, MAKE_USERS, Operator
from tests.support.processes import program
from tests.support.stack import ROOT, Stack

IMAGES = ROOT / "docs" / "images"
# What the day before looked like, so that the chart has more than one bar.
YESTERDAY = """
import datetime, math
from django.utils import timezone
from devices.models import Device
from devices.services import device_create
from profiles.models import DeviceProfile, ProvisioningKey
from provisioning.models import ProvisionAttempt
now = timezone.now()
profile = DeviceProfile.objects.get(name="DHT11 sensor, 2026")
key = profile.keys.get()
for number in range(60):
    device_create(name=f"GW-{number:04}", label=f"Hall {number % 4}", profile=DeviceProfile.objects.get(name="Gateway, model B"))
rows = []
for hour in range(1, 24):
    at = now - datetime.timedelta(hours=hour)
    busy = int(70 + 60 * math.sin(hour / 3.2))
    ends = ((busy, "SUCCESS", "CREATED"), (hour % 5, "FAILURE", "NAME_TAKEN"), (hour % 3, "NOT_FOUND", "SECRET_WRONG"))
    for count, outcome, reason in ends:
        rows += [
            ProvisionAttempt(
                created_at=at, transport=("HTTP", "MQTT", "COAP")[n % 3], address="192.0.2.17", profile=profile, key=key,
                device_name=f"DHT11-{hour:02}{n:02}", outcome=outcome, reason=reason,
            )
            for n in range(count)
        ]
ProvisionAttempt.objects.bulk_create(rows)
soon = now + datetime.timedelta(days=9)
ProvisioningKey.objects.filter(profile__name="Gateway, model B").update(expires_at=soon, label="factory A")
"""


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder)) as stack, sync_playwright() as playwright:
        stack.manage("shell", "-v0", "-c", MAKE_USERS)
        chromium = playwright.chromium.launch(executable_path=program("chromium", "chromium"), args=CHROMIUM_OPTIONS)
        take(Operator(chromium, stack.url), stack)
        chromium.close()


def take(window: Operator, stack: Stack) -> None:
    """Do an operator's work and photograph it."""
    page = window.login("Administrator")
    gateways = make_profile(window, "Gateway, model B", "Check for pre-provisioned devices")
    sensors = make_profile(window, "DHT11 sensor, 2026")
    profile = page.url
    stack.manage("shell", "-v0", "-c", YESTERDAY)
    for number in range(24):
        provision(stack, "HTTP", *sensors, f"DHT11-{number:04}")
    token = provision(stack, "HTTP", *sensors, "DHT11-0100")["credentialsValue"]
    page.request.post(f"/api/v1/{token}/telemetry", data=json.dumps({"temperature": 21.5, "humidity": 40}))
    for name in ("GW-0001", "GW-0002", "GW-0002", "GW-9001"):
        provision(stack, "HTTP", *gateways, name)

    page.goto("/admin/profiles/deviceprofile/add/")
    page.get_by_label("Name").fill("Pump controller")
    page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Next").click()
    photograph(window, "wizard")
    page.goto(profile)
    page.get_by_label("Device name").fill("DHT11-0200")
    page.get_by_role("button", name="Send").click()
    page.locator("#tried").wait_for()
    page.evaluate("window.scrollTo(0, 0)")
    photograph(window, "profile", full=True)
    page.goto("/admin/provisioning/provisionattempt/")
    photograph(window, "attempts")
    page.goto("/admin/devices/device/?q=DHT11-0100")
    page.get_by_role("link", name="DHT11-0100", exact=True).click()
    photograph(window, "device")
    page.goto("/admin/")
    photograph(window, "dashboard")


def photograph(window: Operator, name: str, *, full: bool = False) -> None:
    window.page.wait_for_load_state("networkidle")
    window.page.screenshot(path=IMAGES / f"{name}.png", full_page=full)


if __name__ == "__main__":
    main()
