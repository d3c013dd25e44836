"""The list of running processes with their status."""

from django.contrib import admin
from django.utils import timezone
from unfold.decorators import display

from console.admin_base import ReadOnlyAdmin
from operations.heartbeat import STALE
from operations.models import Heartbeat


@admin.register(Heartbeat)
class HeartbeatAdmin(ReadOnlyAdmin):
    list_display = ("process", "state", "note", "instance", "beat_at")
    list_display_links = None

    @display(description="state", label={"ready": "success", "not ready": "warning", "gone": "danger"})
    def state(self, beat: Heartbeat) -> str:
        if beat.beat_at < timezone.now() - STALE:
            return "gone"
        return "ready" if beat.ready else "not ready"
