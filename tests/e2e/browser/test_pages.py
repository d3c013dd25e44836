"""Every page: no barrier that axe-core calls serious, no sideways scrolling on a telephone, dark and light, no complaint."""

import pytest
from playwright.sync_api import expect

from tests.e2e.browser.devices import provision
from tests.e2e.browser.test_wizard import make_profile
from tests.e2e.browser.window import PASSWORD, PATIENCE_MS, Operator

PAGES = {
    "dashboard": "/admin/",
    "profiles": "/admin/profiles/deviceprofile/",
    "wizard": "/admin/profiles/deviceprofile/add/",
    "profile": "{profile}",
    "edit key": "{key}edit/",
    "revoke key": "{key}revoke/",
    "edit profile": "{profile}change/",
    "devices": "/admin/devices/device/",
    "devices filtered": "/admin/devices/device/?state=provisioned&gateway__exact=0",
    "device": "{device}",
    "edit device": "{device}change/",
    "device history": "{device}history/",
    "add device": "/admin/devices/device/add/",
    "imports": "/admin/imports/importjob/",
    "import": "/admin/imports/importjob/add/",
    "attempts": "/admin/provisioning/provisionattempt/",
    "attempt": "{attempt}",
    "rejected": "/admin/provisioning/rejectedrequest/",
    "processes": "/admin/operations/heartbeat/",
    "changes": "/admin/admin/logentry/",
    "users": "/admin/auth/user/",
    "groups": "/admin/auth/group/",
    "failed logins": "/admin/axes/accessattempt/",
}


@pytest.fixture(scope="module")
def addresses(browser, stack):
    """The addresses of a profile, a device and an attempt with something to show."""
    window = Operator(browser, stack.url)
    window.login("Administrator")
    pair = make_profile(window, "Every page")
    profile = window.page.url
    key = window.page.get_by_role("link", name="Revoke").get_attribute("href").removesuffix("revoke/")
    provision(stack, "HTTP", *pair, "page-1")
    provision(stack, "HTTP", *pair, "page-1")
    window.page.goto("/admin/devices/device/?q=page-1")
    device = window.page.get_by_role("link", name="page-1", exact=True).get_attribute("href")
    window.page.goto("/admin/provisioning/provisionattempt/?q=page-1&outcome__exact=FAILURE")
    attempt = window.page.locator("a[href*='/provisionattempt/'][href*='/change/']").first.get_attribute("href")
    window.context.close()
    return {"profile": profile, "key": key, "device": device.partition("?")[0], "attempt": attempt}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_every_page_is_usable(open_window, addresses, scheme, width):
    window = open_window(width=width, scheme=scheme)
    page = window.login("Administrator")
    problems = []
    for name, address in PAGES.items():
        answer = page.goto(address.format(**addresses))
        page.wait_for_load_state("networkidle")
        assert answer.status == 200, name
        assert ("dark" in (page.get_attribute("html", "class") or "")) == (scheme == "dark"), name
        problems += [f"{name}: {barrier}" for barrier in window.barriers()]
        if page.evaluate("document.documentElement.scrollWidth") > width:
            problems.append(f"{name}: scrolls sideways at {width} pixels")
    assert problems == []


def test_dashboard_says_how_each_process_does(window):
    page = window.login("Viewer")

    for process in ("MQTT broker", "MQTT bridge", "CoAP server", "Task worker"):
        row = page.get_by_role("listitem").filter(has_text=process)
        row.locator(".fl-success", has_text="ready").wait_for()


def test_login_by_keyboard_starts_in_the_user_name(window):
    page = window.page
    page.goto("/admin/login/")
    expect(page.locator("[name=username]")).to_be_focused(timeout=PATIENCE_MS)

    page.keyboard.type("operator")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")

    page.wait_for_url("**/admin/")


def tab_to(page, name):
    """Press Tab until what is called `name` has the focus."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if name in page.evaluate("(e => e.getAttribute('aria-label') || e.innerText || '')(document.activeElement)"):
            return
    raise AssertionError(f"{name} cannot be reached by Tab")


def test_filters_and_logout_by_keyboard(window):
    page = window.login("Operator")
    page.goto("/admin/devices/device/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")

    tab_to(page, "Filters")
    page.keyboard.press("Enter")
    expect(page.locator("#changelist-filter :focus")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.locator("#changelist-filter")).to_be_hidden()

    page.goto("/admin/devices/device/")
    tab_to(page, "operator")
    page.keyboard.press("Enter")
    expect(page.locator("nav :focus")).to_have_count(1)
    tab_to(page, "Log out")
    page.keyboard.press("Enter")
    page.wait_for_url("**/logout/")


def test_icons_are_not_read_aloud(window):
    page = window.login("Operator")
    page.goto("/admin/devices/device/")

    expect(page.get_by_role("main")).to_have_count(1)
    expect(page.get_by_role("link", name="Add device", exact=True)).to_have_count(1)
    expect(page.get_by_role("button", name="Filters", exact=True)).to_have_count(1)
    aloud = page.locator(".material-symbols-outlined:not([aria-hidden=true]):not([role=button])")
    expect(aloud).to_have_count(0)


def test_login_page_has_no_barrier_and_refuses_a_wrong_password(window):
    page = window.page
    page.goto("/admin/login/")
    page.fill("[name=username]", "operator")
    page.fill("[name=password]", "wrong")
    page.get_by_role("button", name="Log in").click()

    page.get_by_text("Please enter the correct username and password").wait_for()
    assert window.barriers() == []
