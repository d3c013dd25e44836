"""django-unfold's settings: the admin's name and its navigation."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy


def _may(permission: str) -> Callable[[HttpRequest], bool]:
    return lambda request: request.user.has_perm(permission)


def _page(title: str, icon: str, name: str, permission: str) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse_lazy(f"admin:{name}_changelist"), "permission": _may(permission)}


UNFOLD = {
    "SITE_TITLE": "Firstlight",
    "SITE_HEADER": "Firstlight",
    "SITE_SUBHEADER": "Device provisioning",
    "SITE_SYMBOL": "wb_twilight",
    "SITE_URL": None,
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda _request: static("firstlight/favicon.svg")}],
    "SHOW_VIEW_ON_SITE": False,
    "DASHBOARD_CALLBACK": "console.dashboard.dashboard.add_dashboard",
    "SIDEBAR": {
        "navigation": [
            {
                "items": [
                    {"title": "Dashboard", "icon": "dashboard", "link": reverse_lazy("admin:index")},
                    _page("Device profiles", "tune", "profiles_deviceprofile", "profiles.view_deviceprofile"),
                    _page("Devices", "sensors", "devices_device", "devices.view_device"),
                    _page("Brokers", "hub", "brokers_broker", "brokers.view_broker"),
                    _page("Imports", "upload_file", "imports_importjob", "devices.add_device"),
                    _page("Provision attempts", "history", "provisioning_provisionattempt", "provisioning.view_provisionattempt"),
                ]
            },
            {
                "title": "Operations",
                "separator": True,
                "items": [
                    _page(
                        "Rejected requests",
                        "gpp_bad",
                        "provisioning_rejectedrequest",
                        "provisioning.view_rejectedrequest",
                    ),
                    _page("Processes", "monitor_heart", "operations_heartbeat", "operations.view_heartbeat"),
                    _page("Changes", "fact_check", "admin_logentry", "admin.view_logentry"),
                ],
            },
            {
                "title": "Administration",
                "separator": True,
                "items": [
                    _page("Users", "person", "auth_user", "auth.view_user"),
                    _page("Groups", "groups", "auth_group", "auth.view_group"),
                    {"title": "API tokens", "icon": "key", "link": reverse_lazy("admin:api_apitoken_changelist")},
                    _page("Failed logins", "lock", "axes_accessattempt", "axes.view_accessattempt"),
                ],
            },
        ],
    },
}
