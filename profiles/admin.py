"""How profiles are listed and edited. Their page, which shows devices and attempts too, is put together in console/."""

from typing import Any

from django import forms
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from profiles.admin_base import PageAdmin, RefusableForm, log_changes
from profiles.choices import Strategy
from profiles.models import DeviceProfile
from profiles.services import profile_delete, profile_update

EDITED = (
    "name",
    "description",
    "strategy",
    "allow_access_token",
    "allow_mqtt_basic",
    "allow_x509",
    "allow_own_credentials",
    "allow_gateways",
    "name_pattern",
    "min_token_length",
    "retry_window_s",
    "default_attributes",
)


class ProfileForm(RefusableForm):
    """Edits a profile through its service."""

    class Meta:
        model = DeviceProfile
        fields = EDITED


class DeviceProfileAdmin(PageAdmin):
    form = ProfileForm
    list_display = ("name", "strategy_label", "device_count", "description", "updated_at")
    list_filter = ("strategy",)
    search_fields = ("name", "description")
    fieldsets = (
        (None, {"fields": ("name", "description", "strategy")}),
        (
            "Permissions",
            {
                "fields": (
                    "allow_access_token",
                    "allow_mqtt_basic",
                    "allow_x509",
                    "allow_own_credentials",
                    "allow_gateways",
                    "name_pattern",
                    "min_token_length",
                    "retry_window_s",
                )
            },
        ),
        ("Default attributes", {"fields": ("default_attributes",)}),
    )

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
        """Return none: profiles are deleted one at a time."""
        return {}

    def log_change(self, request: HttpRequest, obj: DeviceProfile, message: Any) -> None:
        log_changes(request, [obj], message)
