"""Provision attempts and rejected requests; failed attempts with a fix if one click is safe."""

import uuid
from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.views.decorators.http import require_POST
from unfold.decorators import display

from console.admin_base import ReadOnlyAdmin, attempt_service, log_changes
from console.admin_dates import SpannedDatesAdmin
from console.attempts.fixes import apply_fix, fix_for, with_fix_state
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
        return [*self.list_display[:before], _fix_column(request), *self.list_display[before:]]

    def get_fields(self, request: HttpRequest, obj: ProvisionAttempt | None = None) -> list[Any]:
        return [*self.fields, _fix_column(request)]

    def get_readonly_fields(self, request: HttpRequest, obj: ProvisionAttempt | None = None) -> list[Any]:
        return self.get_fields(request, obj)

    def get_urls(self) -> list[URLPattern]:
        fix = path("<uuid:object_id>/fix/", self.admin_site.admin_view(require_POST(self.fix_view)), name="attempt_fix")
        urls: list[URLPattern] = super().get_urls()
        return [fix, *urls]

    def fix_view(self, request: HttpRequest, object_id: uuid.UUID) -> HttpResponse:
        """Apply the fix of an attempt, and log it."""
        attempt = get_object_or_404(with_fix_state(ProvisionAttempt.objects.all()), pk=object_id)
        offered = fix_for(attempt, timezone.now())
        if offered and not request.user.has_perm(offered.permission):
            return HttpResponse(status=403)
        with transaction.atomic():
            fixed = attempt_service(request, lambda: apply_fix(attempt=attempt))
            if fixed:
                row, sentence = fixed
                log_changes(request, [row], f"{sentence} From a failed attempt.")
                messages.success(request, sentence)
        return HttpResponseRedirect(reverse("admin:provisioning_provisionattempt_changelist"))

    @display(description="outcome", ordering="outcome", label=OUTCOME_COLOURS)
    def outcome_label(self, attempt: ProvisionAttempt) -> str:
        return ProvisionStatus(attempt.outcome).label

    @display(description="reason", ordering="reason")
    def why(self, attempt: ProvisionAttempt) -> str:
        return attempt.detail or Reason(attempt.reason).label

    @display(description="device name", ordering="device_name")
    def name_shown(self, attempt: ProvisionAttempt) -> str:
        return marked_name(attempt.device_name) or "–"

    @display(description="from", ordering="transport")
    def origin(self, attempt: ProvisionAttempt) -> str:
        return f"{attempt.get_transport_display()} {attempt.address}".strip()

    @display(description="key")
    def key_label(self, attempt: ProvisionAttempt) -> str:
        return str(attempt.key) if attempt.key else "–"


def _fix_column(request: HttpRequest) -> Callable[[ProvisionAttempt], str]:
    now = timezone.now()

    def fix(attempt: ProvisionAttempt) -> str:
        """Return the button that fixes `attempt`. It submits the surrounding form, with its CSRF token, to another view."""
        offered = fix_for(attempt, now)
        if offered is None or not request.user.has_perm(offered.permission):
            return "–"
        target = reverse("admin:attempt_fix", args=(attempt.pk,))
        return format_html(
            '<button type="submit" class="fl-button fl-small" formmethod="post" formaction="{}">{}</button>',
            target,
            offered.fix.label,
        )

    fix.short_description = "fix"  # type: ignore[attr-defined]
    return fix


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
