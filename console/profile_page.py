"""The page of a profile, with its wizard, its keys' views and the *Try it* panel."""

import json
import uuid

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_POST

from console import key_reveal, key_views
from console.addresses import own_addresses
from console.device_page import REVEAL as REVEAL_CREDENTIALS
from console.profile_view import profile_context
from console.try_it import Played, masked, play
from console.wizard import ProfileWizard
from profiles.admin import DeviceProfileAdmin
from profiles.admin_base import log_changes
from profiles.models import DeviceProfile, ProvisioningKey
from profiles.random_text import random_alphanumeric
from provisioning.choices import Transport


class TryForm(forms.Form):
    """What a virtual device says of itself."""

    transport = forms.ChoiceField(choices=Transport.choices)
    key = forms.ModelChoiceField(ProvisioningKey.objects.none())
    device_name = forms.CharField(max_length=255, required=False)

    def __init__(self, profile: DeviceProfile, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        field = self.fields["key"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = profile.keys.all()


@admin.register(DeviceProfile)
class ProfilePageAdmin(DeviceProfileAdmin):
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
        """Play a device against the running server, and show the exchange on the profile's page."""
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
            # In place of `opts`, so that the last crumb is the title.
            "model_admin": self,
            "may_change": self.has_change_permission(request),
            "transports": Transport,
            "tried": tried,
            "try_name": request.POST.get("device_name") or f"try-it-{random_alphanumeric(6).lower()}",
            **profile_context(request, profile, shown=key_reveal.take_shown(request)),
        }
        answer = TemplateResponse(request, "admin/profiles/profile_page.html", context)
        answer["Cache-Control"] = "no-store"
        return answer


def _try(request: HttpRequest, profile: DeviceProfile, form: TryForm) -> Played:
    key: ProvisioningKey = form.cleaned_data["key"]
    name = form.cleaned_data["device_name"]
    transport = Transport(form.cleaned_data["transport"])
    body = {"provisionDeviceKey": key.key, "provisionDeviceSecret": key.secret} | ({"deviceName": name} if name else {})
    shown = " Key and secret shown." if key_reveal.may_reveal(request) else ""
    log_changes(request, [profile], f"Tried it over {transport.label} as {name or 'a nameless device'}.{shown}")
    played = play(transport, body, own_addresses(), http_host=request.get_host())
    sent = played.sent if shown else masked(played.sent, [json.dumps(text)[1:-1] for text in (key.secret, key.key)])
    got = played.got if request.user.has_perm(REVEAL_CREDENTIALS) else masked(played.got, [])
    return Played(transport, sent, got, played.took_ms, played.problem)
