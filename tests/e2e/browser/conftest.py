"""Debian's Chromium against the whole product, as `make run` starts it."""

from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from tests.e2e.browser.window import CHROMIUM_OPTIONS, MAKE_USERS, Operator
from tests.support.processes import program
from tests.support.stack import Stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory):
    """The product, with an operator of each group."""
    with Stack(tmp_path_factory.mktemp("stack")) as running:
        running.manage("shell", "-v0", "-c", MAKE_USERS)
        yield running


# For a module, not longer: while Playwright runs, this thread counts as one of asyncio, and Django refuses its database there.
@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program("chromium", "chromium"), args=CHROMIUM_OPTIONS)
        yield chromium
        chromium.close()


@pytest.fixture
def open_window(browser, stack):
    """Return a function that opens a window. At the end no page may have complained."""
    windows: list[Operator] = []

    def open_one(**options: Any) -> Operator:
        windows.append(Operator(browser, stack.url, **options))
        return windows[-1]

    yield open_one
    for window in windows:
        window.context.close()
    assert [complaint for window in windows for complaint in window.complaints] == []


@pytest.fixture
def window(open_window):
    return open_window()
