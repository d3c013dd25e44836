"""Provision attempts and rejected requests; failed attempts with a fix, if one would help."""

import uuid
from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import display

from console.admin_base import ReadOnlyAdmin
from console.admin_dates import SpannedDatesAdmin
from console.attempts.confirm import confirm_or_fix, fields_of_selection
from console.attempts.fixes import FIX_PERMISSIONS, fix_for, with_fix_state
from console.templatetags.device_names import marked_name
from provisioning.choices import ProvisionStatus, Reason
from provisioning.models import ProvisionAttempt, RejectedRequest

OUTCOME_COLOURS = {
    ProvisionStatus.SUCCESS.label: "success",
    ProvisionStatus.NOT_FOUND.label: "warning",
    ProvisionStatus.FAILURE.label: "danger",
}


@admin.register(ProvisionAttempt)
class ProvisionAttemptAdmin(SpannedDatesAdmin, ReadOnlyAdmin):
    list_display = ("created_at", "outcome_label", "why", "name_shown", "profile", "key_label", "origin")
    list_filter = ("outcome", "transport", "reason", "profile", "created_at")
    date_hierarchy = "created_at"
    search_fields = ("device_name", "address", "request_id")
    search_help_text = "Part of a device name, an address or a request id."
    actions = ("fix",)
    fields = (
        "created_at",
        "outcome_label",
        "why",
        "detail",
        "name_shown",
        "device",
        "profile",
        "key_label",
        "transport",
        "address",
        "request_id",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ProvisionAttempt]:
        return with_fix_state(super().get_queryset(request))

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """Return the columns; the fix column depends on the permissions of the user."""
        before = self.list_display.index("name_shown") + 1
        return [*self.list_display[:before], self._fix_column(request), *self.list_display[before:]]

    def get_fields(self, request: HttpRequest, obj: ProvisionAttempt | None = None) -> list[Any]:
        return [*self.fields, self._fix_column(request)]

    def get_readonly_fields(self, request: HttpRequest, obj: ProvisionAttempt | None = None) -> list[Any]:
        return self.get_fields(request, obj)

    def get_urls(self) -> list[URLPattern]:
        fix = path("<uuid:object_id>/fix/", self.admin_site.admin_view(self.fix_view), name="attempt_fix")
        urls: list[URLPattern] = super().get_urls()
        return [fix, *urls]

    def fix_view(self, request: HttpRequest, object_id: uuid.UUID) -> HttpResponse:
        """Ask, and once that is confirmed apply the fix of an attempt. Leads back to the list with its filters."""
        attempts = with_fix_state(ProvisionAttempt.objects.filter(pk=object_id))
        if not self.has_view_permission(request) or not _may_fix(request):
            raise PermissionDenied
        if not attempts.exists():
            raise Http404
        filters = request.GET.get("_changelist_filters", "")
        back = reverse("admin:provisioning_provisionattempt_changelist") + (f"?{filters}" if filters else "")
        question = confirm_or_fix(self, request, attempts, back=back, hidden=[])
        return question or HttpResponseRedirect(back)

    @admin.action(description="Fix")
    def fix(self, request: HttpRequest, queryset: QuerySet[ProvisionAttempt]) -> HttpResponse | None:
        """Ask, and once that is confirmed apply the fixes of the selected attempts."""
        return confirm_or_fix(self, request, queryset, back=request.get_full_path(), hidden=fields_of_selection(request))

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        return super().get_actions(request) if _may_fix(request) else {}

    @display(description="outcome", ordering="outcome", label=OUTCOME_COLOURS)
    def outcome_label(self, attempt: ProvisionAttempt) -> str:
        return ProvisionStatus(attempt.outcome).label

    @display(description="reason", ordering="reason")
    def why(self, attempt: ProvisionAttempt) -> str:
        return attempt.detail or Reason(attempt.reason).label

    @display(description="device name", ordering="device_name")
    def name_shown(self, attempt: ProvisionAttempt) -> str:
        device = attempt.device_id or getattr(attempt, "named_device", None)
        name = marked_name(attempt.device_name)
        if device is None or not name:
            return name or "–"
        return format_html('<a class="underline" href="{}">{}</a>', reverse("admin:devices_device_page", args=(device,)), name)

    @display(description="from", ordering="transport")
    def origin(self, attempt: ProvisionAttempt) -> str:
        return f"{attempt.get_transport_display()} {attempt.address}".strip()

    @display(description="key")
    def key_label(self, attempt: ProvisionAttempt) -> str:
        return str(attempt.key) if attempt.key else "–"

    def _fix_column(self, request: HttpRequest) -> Callable[[ProvisionAttempt], str]:
        now = timezone.now()
        # Django's own: the link keeps the filters of the list.
        filters = self.get_preserved_filters(request)

        def fix(attempt: ProvisionAttempt) -> str:
            """Return the link to the question before the fix."""
            offered = fix_for(attempt, now)
            if offered is None or not request.user.has_perm(offered.permission):
                return "–"
            target = reverse("admin:attempt_fix", args=(attempt.pk,)) + (f"?{filters}" if filters else "")
            return format_html('<a class="fl-button fl-small" href="{}">{}</a>', target, offered.fix.label)

        fix.short_description = "fix"  # type: ignore[attr-defined]
        return fix


def _may_fix(request: HttpRequest) -> bool:
    return any(map(request.user.has_perm, FIX_PERMISSIONS))


@admin.register(RejectedRequest)
class RejectedRequestAdmin(ReadOnlyAdmin):
    list_display = ("minute", "count", "why", "transport", "source", "key")
    list_filter = ("reason", "transport", "minute")
    search_fields = ("source",)
    search_help_text = "Part of an address."

    def get_queryset(self, request: HttpRequest) -> QuerySet[RejectedRequest]:
        queryset: QuerySet[RejectedRequest] = super().get_queryset(request)
        return queryset.select_related("key").defer("key__secret")

    @display(description="reason", ordering="reason")
    def why(self, row: RejectedRequest) -> str:
        return row.detail or Reason(row.reason).label
