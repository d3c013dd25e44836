"""Users, groups, failed logins and changes, in the look of the other pages."""

from axes.models import AccessAttempt
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import GroupAdmin as StockGroupAdmin
from django.contrib.auth.admin import UserAdmin as StockUserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from console.admin_base import BoundedAdmin, ReadOnlyAdmin, TitledAdmin
from console.admin_dates import SpannedDatesAdmin
from console.lookups import StrictLookups

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(StrictLookups, TitledAdmin, StockUserAdmin[User]):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "is_active", "is_superuser", "last_login")


@admin.register(Group)
class GroupAdmin(StrictLookups, TitledAdmin, StockGroupAdmin):
    pass


@admin.register(AccessAttempt)
class FailedLoginAdmin(BoundedAdmin):
    """Deleting a row lets the user try again at once."""

    list_title = "Failed logins"
    list_display = ("attempt_time", "username", "ip_address", "failures_since_start")
    fields = readonly_fields = ("attempt_time", "username", "ip_address", "user_agent", "failures_since_start")
    search_fields = ("username", "ip_address")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: AccessAttempt | None = None) -> bool:
        return False


@admin.register(LogEntry)
class ChangesAdmin(SpannedDatesAdmin, ReadOnlyAdmin):
    list_title = "Changes"
    list_display = ("action_time", "user", "content_type", "object_repr", "get_change_message")
    list_filter = ("action_time", "action_flag", "content_type")
    list_select_related = ("user", "content_type")
    search_fields = ("object_repr", "change_message", "user__username")
    search_help_text = "Part of an object's name, of the change, or a user."
    date_hierarchy = "action_time"
