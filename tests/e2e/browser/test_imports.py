"""Lists of devices through the browser: from upload to undo, and what the devices of a list can do then."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browser.devices import provision
from tests.support.imports import GUIDE_SAMPLE, write_list

LONG_MS = 600_000


def begin(page: Page, path, profile: str) -> None:
    """Upload the list at `path` and go to its columns."""
    # The first of those so named: the one in the navigation.
    page.get_by_role("link", name="Imports").first.click()
    page.goto("/admin/imports/importjob/add/")
    page.locator("#id_file").set_input_files(path)
    page.get_by_label("Profile").select_option(label=profile)
    page.get_by_role("button", name="Upload", exact=True).click()
    page.get_by_role("button", name="Next").click(timeout=LONG_MS)
    page.get_by_role("button", name="Dry run").wait_for()


def dry_run(page: Page) -> None:
    page.get_by_role("button", name="Dry run").click()
    page.get_by_role("button", name="Import", exact=True).wait_for(timeout=LONG_MS)


def run(page: Page) -> None:
    page.get_by_role("button", name="Import", exact=True).click()
    page.get_by_text("Done", exact=True).wait_for(timeout=LONG_MS)


def count(page: Page, name: str) -> str:
    return page.locator(f"#count-{name}").inner_text()


def saved(page: Page, button: str) -> str:
    """Return what the download under a link holds."""
    with page.expect_download() as download:
        page.get_by_role("link", name=button).click()
    return download.value.path().read_text()


def test_list_is_imported_and_its_devices_provision_on_each_transport_and_a_stranger_does_not(window, stack, tmp_path):
    profile = stack.create_profile("testImport", "CHECK_PRE_PROVISIONED_DEVICES")
    path = tmp_path / "sample.csv"
    path.write_text(GUIDE_SAMPLE)
    page = window.login("Operator")

    begin(page, path, "testImport")
    expect(page.locator("#type-0")).to_have_value("NAME")
    expect(page.get_by_role("list", name="First values of Data5")).to_contain_text("123.55")
    page.locator("#type-11").select_option("ACCESS_TOKEN")
    assert window.barriers() == []
    dry_run(page)
    expect(page.locator("body")).to_contain_text("Creates 'Device 1' in profile 'testImport'.")
    assert (count(page, "created"), count(page, "errors")) == ("8", "2")
    run(page)

    assert (count(page, "created"), count(page, "errors")) == ("8", "2")
    assert window.barriers() == []
    assert saved(page, "Download refused rows").splitlines()[0].endswith("Data10,line,error")
    for number, transport in enumerate(("HTTP", "MQTT", "CoAP"), start=1):
        reply = provision(stack, transport, profile["key"], profile["secret"], f"Device {number}")
        assert (reply["status"], reply["credentialsValue"]) == ("SUCCESS", f"AbfdgrRetGF4{number + 4}")
        assert provision(stack, transport, profile["key"], profile["secret"], "Stranger")["status"] == "FAILURE"

    page.get_by_text("Undo this import").click()
    page.get_by_role("button", name="Undo").click()
    page.get_by_text("Kept: 3 devices that have provisioned").wait_for()
    assert count(page, "undone") == "5"
    page.get_by_role("link", name="Imports", exact=True).last.click()  # the one before it is the app's
    expect(page.locator("#result_list")).to_contain_text("sample.csv")


def follow(page: Page) -> list[int]:
    """Return the values that the progress bar of the running job shows until it ends."""
    page.evaluate(
        """() => {
          window.seen = [];
          const bar = document.querySelector("progress");
          new MutationObserver(() => window.seen.push(bar.value)).observe(bar, { attributes: true });
          window.addEventListener("pagehide", () => sessionStorage.setItem("seen", JSON.stringify(window.seen)));
        }"""
    )
    page.get_by_text("Done", exact=True).wait_for(timeout=LONG_MS)
    return page.evaluate("JSON.parse(sessionStorage.getItem('seen'))")


@pytest.mark.parametrize(
    "rows",
    [pytest.param(40_000, id="short"), pytest.param(500_000, id="long", marks=[pytest.mark.soak, pytest.mark.timeout(1800)])],
)
def test_progress_bar_moves_while_a_long_list_is_imported(window, stack, tmp_path, rows):
    stack.create_profile(f"progress {rows}", "CHECK_PRE_PROVISIONED_DEVICES")
    path = write_list(tmp_path / f"progress-{rows}.csv", rows, prefix=f"P{rows}")
    page = window.login("Operator")
    begin(page, path, f"progress {rows}")
    dry_run(page)

    page.get_by_role("button", name="Import", exact=True).click()
    page.locator("progress").wait_for()
    values = follow(page)

    between = sorted({value for value in values if 0 < value < 100})
    assert len(between) >= 2, f"the bar was seen at {values}"
    assert values == sorted(values)
    assert count(page, "created") == f"{rows:,}"


def test_columns_and_result_fit_a_narrow_screen_and_the_dark(open_window, stack, tmp_path):
    stack.create_profile("narrow", "CHECK_PRE_PROVISIONED_DEVICES")
    path = tmp_path / "narrow.csv"
    path.write_text("name,token,label\nN1,,x\n,,y\n")
    window = open_window(width=390, scheme="dark")
    page = window.login("Operator")
    page.goto("/admin/imports/importjob/add/")
    page.locator("#id_file").set_input_files(path)
    page.get_by_label("Profile").select_option(label="narrow")
    page.get_by_role("button", name="Upload", exact=True).click()
    page.get_by_role("button", name="Next").click()
    assert window.barriers() == []
    dry_run(page)
    run(page)

    assert window.barriers() == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert re.search(r"name,token\r?\nN1,\w{20}|name,token\r?\n", saved(page, "Download generated credentials"))
