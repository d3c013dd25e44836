"""Actions of administrators on the keys of a profile: rotate, revoke, edit, reveal."""

import uuid
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import ADDITION
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from console.admin_base import attempt_service, form_errors, log_changes
from console.devices.actions import counted
from console.profiles import key_reveal
from devices.bulk_services import devices_block
from devices.models import Device
from profiles.choices import SecretUse
from profiles.models import ProvisioningKey
from profiles.services import key_revoke, key_rotate, key_update

CHANGE = "profiles.change_provisioningkey"
ADD = "profiles.add_provisioningkey"


class RevokeForm(forms.Form):
    block_devices = forms.BooleanField(required=False)


class RotateForm(forms.Form):
    secret_use = forms.ChoiceField(required=False, choices=SecretUse.choices)


class KeyForm(forms.Form):
    label = forms.CharField(
        required=False,
        max_length=255,
        widget=forms.TextInput(attrs={"class": "fl-input"}),
        help_text="What this key is for, e.g. a factory or a batch.",
    )
    expires_at = forms.DateTimeField(
        required=False,
        label="Expires",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local", "class": "fl-input"}, format="%Y-%m-%dT%H:%M"),
        help_text="The key is refused from this time on. Leave blank for no expiry.",
    )
    use_limit = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=2_147_483_647,
        widget=forms.NumberInput(attrs={"class": "fl-input"}),
        help_text="Maximum number of devices, including those already provisioned. Leave blank for no limit.",
    )


def rotate(request: HttpRequest, key_id: uuid.UUID) -> HttpResponse:
    """Create a second key; the first keeps working."""
    key = _key(request, key_id, ADD)
    form = RotateForm(request.POST)
    secret_use = form.cleaned_data["secret_use"] if form.is_valid() else ""
    with transaction.atomic():
        made = attempt_service(request, lambda: key_rotate(key=key, secret_use=secret_use))
        if made:
            log_changes(request, [key.profile], f"Key {key} rotated: a second key created, the first keeps working.", ADDITION)
            key_reveal.show_next(request, made)
            messages.success(request, "A second key was created. The first keeps working until you revoke it.")
    return _back(key)


def revoke(request: HttpRequest, key_id: uuid.UUID) -> HttpResponse:
    """Ask for confirmation with the number of devices; then revoke the key, and block its devices if selected."""
    key = _key(request, key_id, CHANGE)
    devices = Device.objects.filter(provisioned_with=key)
    if request.method != "POST":
        count = devices.count()
        context = {"key": key, "count": count, "counted": counted(count)}
        return _page(request, "admin/profiles/revoke_key.html", f"Revoke {key}", context)
    form = RevokeForm(request.POST)
    with transaction.atomic():
        if key_revoke(key=key):
            log_changes(request, [key.profile], f"Key {key} revoked.")
            messages.success(request, f"{key} is revoked. Devices can no longer provision with it.")
        if form.is_valid() and form.cleaned_data["block_devices"] and request.user.has_perm("devices.change_device"):
            log_changes(
                request, devices.filter(blocked=False).only("pk", "name"), "Blocked because its provisioning key was revoked."
            )
            messages.success(request, f"Blocked: {counted(devices_block(devices=devices))}.")
    return _back(key)


def edit(request: HttpRequest, key_id: uuid.UUID) -> HttpResponse:
    """Change label, expiry and use limit of the key."""
    key = _key(request, key_id, CHANGE)
    current = {"label": key.label, "expires_at": key.expires_at, "use_limit": key.use_limit}
    form = KeyForm(request.POST or None, initial=current | {"expires_at": _to_the_minute(key.expires_at)})
    if request.method == "POST" and form.is_valid():
        values = current | {name: form.cleaned_data[name] for name in form.changed_data}
        try:
            with transaction.atomic():
                changed = key_update(key=key, **values)
                if changed:
                    log_changes(request, [key.profile], f"Key {key}: {', '.join(changed)} changed.")
            return _back(key)
        except ValidationError as err:
            form_errors(form, err)
    return _page(request, "admin/profiles/edit_key.html", f"Edit {key}", {"key": key, "form": form})


def reveal(request: HttpRequest, key_id: uuid.UUID) -> HttpResponse:
    """Show key and secret on the page of the profile, after recording that this user has seen them."""
    key = _key(request, key_id, key_reveal.REVEAL)
    log_changes(request, [key.profile], f"Key {key} and its secret revealed.")
    key_reveal.show_next(request, key)
    return _back(key)


def _to_the_minute(time: datetime | None) -> datetime | None:
    """Return `time` as an input field holds it, so that a form submitted unchanged changes nothing."""
    return time.replace(second=0, microsecond=0) if time else None


def _key(request: HttpRequest, key_id: uuid.UUID, permission: str) -> ProvisioningKey:
    if not request.user.has_perm(permission):
        raise PermissionDenied
    return get_object_or_404(ProvisioningKey.objects.select_related("profile"), pk=key_id)


def _back(key: ProvisioningKey) -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:profiles_deviceprofile_page", args=(key.profile_id,)))


def _page(request: HttpRequest, template: str, title: str, context: dict[str, Any]) -> HttpResponse:
    base = admin.site.each_context(request)
    return TemplateResponse(request, template, {**base, "title": title, "now": timezone.now(), **context})
