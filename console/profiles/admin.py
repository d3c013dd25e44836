"""The pages of device profiles: list, form, wizard, the page of each profile, and its *Try it* panel."""

import json
import uuid
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_POST
from unfold.decorators import display

from console.addresses import own_addresses
from console.admin_base import PageAdmin, RefusableForm, log_changes
from console.devices.page import REVEAL as REVEAL_CREDENTIALS
from console.profiles import key_reveal, key_views
from console.profiles.page import profile_context
from console.profiles.try_it import Played, masked, play
from console.profiles.wizard import ProfileWizard
from console.profiles.wizard_forms import OWN_TOPICS_HELP, OWN_TOPICS_LABEL
from core.random_text import random_alphanumeric
from profiles.choices import Strategy
from profiles.models import DeviceProfile, ProvisioningKey
from profiles.services import profile_delete, profile_update
from provisioning.choices import Transport

GENERAL = ("name", "description", "strategy")
PERMISSIONS = (
    "allow_access_token",
    "allow_mqtt_basic",
    "allow_x509",
    "allow_own_credentials",
    "allow_gateways",
    "allow_gateway_children",
    "max_gateway_children",
    "name_pattern",
    "min_token_length",
    "retry_window_s",
    "topic_pattern",
)
EDITED = (*GENERAL, *PERMISSIONS, "default_attributes")


class ProfileForm(RefusableForm):
    """Changes a profile with its service."""

    class Meta:
        model = DeviceProfile
        fields = EDITED
        labels = {"topic_pattern": OWN_TOPICS_LABEL}
        help_texts = {"topic_pattern": OWN_TOPICS_HELP}


class TryForm(forms.Form):
    """The request of a virtual device."""

    transport = forms.ChoiceField(choices=Transport.choices)
    key = forms.ModelChoiceField(ProvisioningKey.objects.none())
    device_name = forms.CharField(max_length=255, required=False)

    def __init__(self, profile: DeviceProfile, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        field = self.fields["key"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = profile.keys.all()


@admin.register(DeviceProfile)
class DeviceProfileAdmin(PageAdmin):
    form = ProfileForm
    list_display = ("name", "strategy_label", "device_count", "description", "updated_at")
    list_filter = ("strategy",)
    search_fields = ("name", "description")
    fieldsets = (
        (None, {"fields": GENERAL}),
        ("Permissions", {"fields": PERMISSIONS}),
        ("Default attributes", {"fields": ("default_attributes",)}),
    )

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        pages = [
            path("<uuid:object_id>/try/", wrap(require_POST(self.try_view)), name="profile_try"),
            path("keys/<uuid:key_id>/rotate/", wrap(require_POST(key_views.rotate)), name="key_rotate"),
            path("keys/<uuid:key_id>/revoke/", wrap(key_views.revoke), name="key_revoke"),
            path("keys/<uuid:key_id>/edit/", wrap(key_views.edit), name="key_edit"),
            path("keys/<uuid:key_id>/reveal/", wrap(require_POST(key_views.reveal)), name="key_reveal"),
        ]
        return [*pages, *super().get_urls()]

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: object = None) -> HttpResponse:
        return ProfileWizard.as_view(model_admin=self)(request)  # type: ignore[no-any-return]

    def page_view(self, request: HttpRequest, object_id: uuid.UUID) -> HttpResponse:
        return self._page(request, object_id)

    def try_view(self, request: HttpRequest, object_id: uuid.UUID) -> HttpResponse:
        """Play a device against the running server, and show request and reply on the page of the profile."""
        if not request.user.has_perm("devices.add_device"):
            raise PermissionDenied
        profile: DeviceProfile = self.get_viewable(request, object_id, DeviceProfile.objects.all())
        form = TryForm(profile, request.POST)
        return self._page(request, object_id, tried=_try(request, profile, form) if form.is_valid() else None)

    def _page(self, request: HttpRequest, object_id: uuid.UUID, tried: Played | None = None) -> HttpResponse:
        profile: DeviceProfile = self.get_viewable(request, object_id, DeviceProfile.objects.all())
        context = {
            **self.admin_site.each_context(request),
            "title": profile.name,
            # Instead of `opts`, so that the last breadcrumb is the title.
            "model_admin": self,
            "may_change": self.has_change_permission(request),
            "transports": Transport,
            "tried": tried,
            "try_name": request.POST.get("device_name") or f"try-it-{random_alphanumeric(6).lower()}",
            **profile_context(request, profile, revealed=key_reveal.take_shown(request)),
        }
        answer = TemplateResponse(request, "admin/profiles/profile_page.html", context)
        answer["Cache-Control"] = "no-store"
        return answer

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeviceProfile]:
        queryset: QuerySet[DeviceProfile] = super().get_queryset(request)
        return queryset.annotate(devices_total=Count("devices"))

    @display(
        description="strategy",
        ordering="strategy",
        label={
            Strategy.DISABLED.label: "warning",
            Strategy.ALLOW_CREATE.label: "success",
            Strategy.CHECK_PRE_PROVISIONED.label: "info",
        },
    )
    def strategy_label(self, profile: DeviceProfile) -> str:
        return Strategy(profile.strategy).label

    @display(description="devices", ordering="devices_total")
    def device_count(self, profile: DeviceProfile) -> int:
        return int(getattr(profile, "devices_total", 0))

    def save_model(self, request: HttpRequest, obj: DeviceProfile, form: forms.ModelForm[DeviceProfile], change: Any) -> None:
        profile_update(profile=obj, **{name: form.cleaned_data[name] for name in EDITED})

    def delete_model(self, request: HttpRequest, obj: DeviceProfile) -> None:
        profile_delete(profile=obj)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Return no actions: profiles are deleted one at a time."""
        return {}

    def log_change(self, request: HttpRequest, obj: DeviceProfile, message: Any) -> None:
        log_changes(request, [obj], message)


def _try(request: HttpRequest, profile: DeviceProfile, form: TryForm) -> Played:
    key: ProvisioningKey = form.cleaned_data["key"]
    name = form.cleaned_data["device_name"]
    transport = Transport(form.cleaned_data["transport"])
    secret = key.secret_for(name)
    body = {"provisionDeviceKey": key.key, "provisionDeviceSecret": secret} | ({"deviceName": name} if name else {})
    shown = " Key and secret were shown." if key_reveal.may_reveal(request) else ""
    log_changes(request, [profile], f"Tried it over {transport.label} as {name or 'a nameless device'}.{shown}")
    played = play(transport, body, own_addresses(), http_host=request.get_host())
    sent = played.sent if shown else masked(played.sent, [json.dumps(text)[1:-1] for text in (secret, key.key)])
    got = played.got if request.user.has_perm(REVEAL_CREDENTIALS) else masked(played.got, [])
    return Played(transport, sent, got, played.took_ms, played.problem)
