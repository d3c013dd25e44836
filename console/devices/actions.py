"""Actions on one or many devices. Each asks for confirmation, calls one service and is logged."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.models import CHANGE, DELETION
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from unfold.widgets import UnfoldAdminSelectWidget

from console.admin_base import LOGGED_AT_ONCE, log_changes
from devices import bulk_services
from devices.models import Device
from profiles.models import DeviceProfile

NAMES_SHOWN = 20


class MoveForm(forms.Form):
    profile = forms.ModelChoiceField(
        DeviceProfile.objects.all(), label="New profile", widget=UnfoldAdminSelectWidget, empty_label="Choose a profile"
    )


@dataclass(frozen=True, slots=True)
class DeviceAction:
    """One action: `asks` is the question with {devices} in it, `consequence` explains what will happen."""

    name: str
    label: str
    icon: str
    asks: str
    consequence: str
    done: str
    service: Callable[..., int]
    permission: str = "devices.change_device"
    flag: int = CHANGE
    form_class: type[forms.Form] | None = None
    danger: bool = False


ACTIONS = (
    DeviceAction(
        "reset_provisioning",
        "Reset provisioning",
        "restart_alt",
        "Reset provisioning of {devices}?",
        "Each becomes pre-provisioned again and may provision once more. Its current credentials work until then. If they were "
        "ever handed out, to the device, in a download or by Reveal, the device then gets new ones of the same type. A "
        "certificate stays. Credentials that the device chooses must differ from the old ones.",
        "Provisioning reset",
        bulk_services.devices_reset_provisioning,
    ),
    DeviceAction(
        "replace",
        "Replace device",
        "swap_horiz",
        "Let other hardware take the place of {devices}?",
        "For a device that is broken, lost or stolen. Its credentials stop working at once, and a certificate is taken away. The "
        "new hardware may provision under the same name and gets new credentials; none of the old ones are accepted.",
        "Replaced",
        bulk_services.devices_replace,
        danger=True,
    ),
    DeviceAction(
        "reissue_credentials",
        "Re-issue credentials",
        "key",
        "Re-issue the credentials of {devices}?",
        "Each gets a new access token. Its current credentials stop working at once, so it is offline until it has the token.",
        "Credentials re-issued",
        bulk_services.devices_reissue_credentials,
        danger=True,
    ),
    DeviceAction(
        "block",
        "Block",
        "block",
        "Block {devices}?",
        "A blocked device can neither provision nor authenticate, from its next message on.",
        "Blocked",
        bulk_services.devices_block,
        danger=True,
    ),
    DeviceAction(
        "unblock",
        "Unblock",
        "check_circle",
        "Unblock {devices}?",
        "Each may provision and authenticate again, with its current credentials.",
        "Unblocked",
        bulk_services.devices_unblock,
    ),
    DeviceAction(
        "move",
        "Move to profile",
        "drive_file_move",
        "Move {devices} to another profile?",
        "Credentials, state and attributes stay. A pre-provisioned device then needs a key of the new profile.",
        "Moved to another profile",
        bulk_services.devices_move,
        form_class=MoveForm,
    ),
    DeviceAction(
        "delete",
        "Delete",
        "delete",
        "Delete {devices}?",
        "Credentials, attributes and telemetry are deleted, too. This cannot be undone. Attempts stay in the log.",
        "Deleted",
        bulk_services.devices_delete,
        permission="devices.delete_device",
        flag=DELETION,
        danger=True,
    ),
)


def confirm_or_run(
    model_admin: Any, request: HttpRequest, devices: QuerySet[Device], action: DeviceAction
) -> HttpResponse | None:
    """Return the page that asks; None once the operator has confirmed and the action has run."""
    model_admin.check_permission(request.user.has_perm(action.permission))
    confirmed = "confirmed" in request.POST
    form = action.form_class(request.POST if confirmed else None) if action.form_class else None
    if confirmed and (form is None or form.is_valid()):
        run(request, devices, action, **(form.cleaned_data if form else {}))
        return None
    count = devices.count()
    context = {
        **model_admin.admin_site.each_context(request),
        "title": action.label,
        "opts": model_admin.opts,
        "action": action,
        "question": action.asks.format(devices=counted(count)),
        "count": count,
        "names": list(devices.order_by("name").values_list("name", flat=True)[:NAMES_SHOWN]),
        "more": max(0, count - NAMES_SHOWN),
        "form": form,
        "selected": request.POST.getlist("_selected_action"),
        "select_across": request.POST.get("select_across", "0"),
        "from_page": "from_page" in request.POST,
    }
    return TemplateResponse(request, "admin/devices/confirm_action.html", context)


def run(request: HttpRequest, devices: QuerySet[Device], action: DeviceAction, **arguments: Any) -> int:
    """Run `action` and log it, both or neither. Returns the number of changed devices."""
    sentence = f"{action.done}: {arguments['profile']}." if "profile" in arguments else f"{action.done}."
    with transaction.atomic():
        # Logged first: afterwards they may not exist, or no longer match the filter of the list.
        log_changes(request, devices.select_related(None).only("pk", "name").iterator(LOGGED_AT_ONCE), sentence, action.flag)
        changed = action.service(devices=devices, **arguments)
    messages.success(request, f"{sentence[:-1]}: {counted(changed)}.")
    return changed


def counted(count: int) -> str:
    return "1 device" if count == 1 else f"{count:,} devices"
