"""An operator's browser window: Debian's Chromium, driven by Playwright."""

from pathlib import Path
from typing import Any

import axe_core_python
from playwright.sync_api import Browser, BrowserContext, Page

CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 15_000
PASSWORD = "correct-horse-7"
AXE = (Path(axe_core_python.__file__).parent / "axe.min.js").read_text()
MAKE_USERS = f"""
from django.contrib.auth.models import Group, User
for group in Group.objects.all():
    user = User.objects.create_user(group.name.lower(), "", {PASSWORD!r}, is_staff=True)
    user.groups.add(group)
"""


class Operator:
    """One operator's browser window. What goes wrong in any page of it is kept in `complaints`."""

    def __init__(self, browser: Browser, url: str, *, width: int = 1280, scheme: str = "light") -> None:
        self.url = url
        self.context: BrowserContext = browser.new_context(
            base_url=url, viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
        )
        self.context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.complaints: list[str] = []
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"{self.page.url}: {error}"))
        self.page.on("request", self._on_request)

    def login(self, group: str) -> Page:
        self.page.goto("/admin/login/")
        self.page.fill("[name=username]", group.lower())
        self.page.fill("[name=password]", PASSWORD)
        self.page.get_by_role("button", name="Log in").click()
        self.page.wait_for_url("**/admin/")
        return self.page

    def clipboard(self) -> str:
        text: str = self.page.evaluate("navigator.clipboard.readText()")
        return text

    def barriers(self) -> list[str]:
        """Return what axe-core finds serious or critical on the page. Evaluated, not injected: the page's policy stays on."""
        self.page.evaluate(AXE)
        found: dict[str, Any] = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{violation['id']}: {node['target']} {node.get('failureSummary', '')}"
            for violation in found["violations"]
            if violation["impact"] in ("serious", "critical")
            for node in violation["nodes"]
        ]

    def _on_console(self, message: Any) -> None:
        # A page that must answer with an error, e.g. 403, is reported by the browser too: the test looks at the answer itself.
        if message.type in ("error", "warning") and "the server responded with a status of 403" not in message.text:
            self.complaints.append(f"{self.page.url}: {message.text}")

    def _on_request(self, request: Any) -> None:
        if not request.url.startswith((self.url, "data:", "blob:")):
            self.complaints.append(f"{self.page.url} requested a foreign host: {request.url}")
