"""The page of a device: credentials (masked), attributes, telemetry, attempts, and what can be done to it."""

import uuid
from urllib.parse import urlencode

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_POST

from devices.admin import STATE_COLOURS, DeviceAdmin
from devices.admin_actions import ACTIONS
from devices.credentials import AccessToken, Credentials, MqttBasic, X509Certificate
from devices.models import Device, DeviceCredentials
from devices.selectors import state_of
from profiles.admin_base import log_changes

ATTEMPTS_SHOWN = 10
VALUES_SHOWN = 200
REVEAL = "devices.reveal_devicecredentials"


@admin.register(Device)
class DevicePageAdmin(DeviceAdmin):
    def get_urls(self) -> list[URLPattern]:
        reveal = path(
            "<uuid:object_id>/reveal/", self.admin_site.admin_view(require_POST(self.reveal_view)), name="devices_device_reveal"
        )
        return [reveal, *super().get_urls()]

    def page_view(self, request: HttpRequest, object_id: uuid.UUID) -> HttpResponse:
        devices = Device.objects.select_related("profile", "provisioned_with", "credentials").defer(
            "credentials__value", "provisioned_with__secret"
        )
        device: Device = self.get_viewable(request, object_id, devices)
        context = {
            **self.admin_site.each_context(request),
            "title": device.name,
            # In place of `opts`, so that the last crumb is the title.
            "model_admin": self,
            "device": device,
            "state": state_of(device),
            "state_colour": STATE_COLOURS[state_of(device)],
            "attributes": device.attributes.order_by("scope", "key")[:VALUES_SHOWN],
            "telemetry": device.telemetry.all()[:VALUES_SHOWN],
            "attempts": device.attempts.select_related("key").defer("key__secret")[:ATTEMPTS_SHOWN],
            "attempts_query": urlencode({"q": device.name}),
            "actions": [
                action for action in ACTIONS if request.user.has_perm(action.permission) and _applies(action.name, device)
            ],
            "may_change": self.has_change_permission(request),
            "may_reveal": request.user.has_perm(REVEAL),
        }
        return TemplateResponse(request, "admin/devices/device_page.html", context)

    def reveal_view(self, request: HttpRequest, object_id: uuid.UUID) -> HttpResponse:
        """Answer with the device's credentials, once it is on record that this user has seen them."""
        self.check_permission(request.user.has_perm(REVEAL))
        credentials = self.get_viewable(request, object_id, DeviceCredentials.objects.select_related("device"))
        device = credentials.device
        log_changes(request, [device], "Credentials revealed.")
        answer = JsonResponse({"values": parts(credentials.unpacked())})
        answer["Cache-Control"] = "no-store"
        return answer


def parts(credentials: Credentials) -> list[tuple[str, str]]:
    """Return the parts of `credentials`, each with its name, as the operator reads them."""
    match credentials:
        case AccessToken(token):
            return [("Access token", token)]
        case MqttBasic(client_id, username, password):
            return [("MQTT client id", client_id), ("MQTT user name", username), ("MQTT password", password)]
        case X509Certificate(body):
            return [("Certificate, base64", body)]


def _applies(action: str, device: Device) -> bool:
    if action == "block":
        return not device.blocked
    if action == "unblock":
        return device.blocked
    return action != "reset_provisioning" or device.provisioned_at is not None
