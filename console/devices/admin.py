"""The pages of devices: list, search, filters, form, and the page of each device."""

import uuid
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.views.decorators.http import require_POST
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget

from console.admin_base import PageAdmin, RefusableForm, attempt_service, log_changes
from console.devices import actions
from console.devices.page import REVEAL, STATE_COLOURS, device_context, parts
from console.devices.shared_attributes import SharedAttributeForm
from console.templatetags.device_names import marked_name
from devices.credentials import mqtt_basic_id, username_id
from devices.models import Device, DeviceCredentials
from devices.selectors import STATES, state_of
from devices.services import credentials_handed_out, device_create, device_update


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state, state.capitalize()) for state in STATES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Device]) -> QuerySet[Device]:
        return queryset.filter(STATES[self.value() or ""]) if self.value() in STATES else queryset


EDITED = ("name", "label", "profile", "description", "gateway", "parent_gateway")


class DeviceForm(RefusableForm):
    # By name, in a text field: a choice of all gateways would be too long.
    parent_gateway = forms.ModelChoiceField(
        Device.objects.filter(gateway=True),
        to_field_name="name",
        required=False,
        label="Reported by gateway",
        widget=UnfoldAdminTextInputWidget,
        help_text="Name of the gateway that reports for this device. Leave blank if it has a connection of its own.",
        error_messages={"invalid_choice": "There is no gateway of this name."},
    )

    class Meta:
        model = Device
        fields = EDITED

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["parent_gateway"] = self.instance.parent_gateway


@admin.register(Device)
class DeviceAdmin(PageAdmin):
    form = DeviceForm
    list_display = ("name_shown", "label", "profile", "state", "gateway", "provisioned_at", "last_seen_at")
    list_filter = (
        StateFilter,
        "profile",
        "gateway",
        "provisioned_at",
        "last_seen_at",
        "created_at",
    )
    list_select_related = ("profile",)
    search_fields = ("name", "label")
    search_help_text = "Part of a name or label, or a complete id, access token, MQTT client id or user name."
    fieldsets = ((None, {"fields": EDITED}),)

    @display(description="name", ordering="name")
    def name_shown(self, device: Device) -> str:
        return marked_name(device.name)

    @display(description="state", label=STATE_COLOURS)
    def state(self, device: Device) -> str:
        return state_of(device)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        answer = super().changelist_view(request, extra_context)
        changelist = getattr(answer, "context_data", {}).get("cl")
        if changelist and changelist.query and not changelist.result_count:
            messages.info(request, _where_else(changelist.query))
        return answer

    def get_urls(self) -> list[URLPattern]:
        reveal = path(
            "<uuid:object_id>/reveal/", self.admin_site.admin_view(require_POST(self.reveal_view)), name="devices_device_reveal"
        )
        attribute = path(
            "<uuid:object_id>/shared-attribute/",
            self.admin_site.admin_view(require_POST(self.shared_attribute_view)),
            name="devices_device_shared_attribute",
        )
        return [reveal, attribute, *super().get_urls()]

    def page_view(self, request: HttpRequest, object_id: uuid.UUID) -> HttpResponse:
        devices = Device.objects.select_related("profile", "provisioned_with", "credentials", "parent_gateway").defer(
            "credentials__value", "provisioned_with__secret"
        )
        device: Device = self.get_viewable(request, object_id, devices)
        context = {
            **self.admin_site.each_context(request),
            "title": device.name,
            # Instead of `opts`, so that the last breadcrumb is the title.
            "model_admin": self,
            "may_change": self.has_change_permission(request),
            **device_context(request, device),
        }
        return TemplateResponse(request, "admin/devices/device_page.html", context)

    def reveal_view(self, request: HttpRequest, object_id: uuid.UUID) -> HttpResponse:
        """Return the credentials of the device, after recording that this user has seen them."""
        self.check_permission(request.user.has_perm(REVEAL))
        credentials = self.get_viewable(request, object_id, DeviceCredentials.objects.select_related("device"))
        device = credentials.device
        log_changes(request, [device], "Credentials revealed.")
        credentials_handed_out(credentials=DeviceCredentials.objects.filter(pk=device.pk))
        answer = JsonResponse({"values": parts(credentials.unpacked())})
        answer["Cache-Control"] = "no-store"
        return answer

    def shared_attribute_view(self, request: HttpRequest, object_id: uuid.UUID) -> HttpResponse:
        """Set or delete a shared attribute, and record it."""
        self.check_permission(self.has_change_permission(request))
        device: Device = self.get_viewable(request, object_id, Device.objects.all())
        form = SharedAttributeForm(request.POST)
        if form.is_valid():
            with transaction.atomic():
                sentence = attempt_service(request, lambda: form.apply(device))
                if sentence:
                    log_changes(request, [device], sentence)
                    messages.success(request, sentence)
        else:
            messages.error(request, " ".join(str(text) for texts in form.errors.values() for text in texts))
        return HttpResponseRedirect(f"{self.page_url(device)}#attributes")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Device], search_term: str
    ) -> tuple[QuerySet[Device], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        exact = _found_exactly(term)
        return queryset.filter(Q(name__icontains=term) | Q(label__icontains=term) | Q(pk__in=exact)), False

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        return {
            action.name: (_bulk(action), action.name, action.label)
            for action in actions.ACTIONS
            if request.user.has_perm(action.permission)
        }

    def save_model(self, request: HttpRequest, obj: Device, form: forms.ModelForm[Device], change: Any) -> None:
        values = {name: form.cleaned_data[name] for name in EDITED}
        if change:
            device_update(device=obj, **values)
        else:
            obj.pk = device_create(**values).pk

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: Any) -> None:
        """Save nothing more: services write the other rows of a device."""

    def log_change(self, request: HttpRequest, obj: Device, message: Any) -> None:
        log_changes(request, [obj], message)

    def response_post_save_add(self, request: HttpRequest, obj: Device) -> HttpResponse:
        return self.response_post_save_change(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Device | None = None) -> bool:
        """Return False: devices are deleted with the action, which asks for confirmation and calls the service."""
        return False


def _bulk(action: actions.DeviceAction) -> Any:
    def run(model_admin: DeviceAdmin, request: HttpRequest, queryset: QuerySet[Device]) -> HttpResponse | None:
        device = queryset.first() if "from_page" in request.POST else None
        question = actions.confirm_or_run(model_admin, request, queryset, action)
        if question is None and device and action.name != "delete":
            return HttpResponseRedirect(model_admin.page_url(device))
        return question

    return run


def _where_else(term: str) -> str:
    """Return what an operator can look at who looked for a device that does not exist."""
    query = urlencode({"q": term})
    links = [
        (f"{reverse('admin:provisioning_provisionattempt_changelist')}?{query}", "attempts"),
        (f"{reverse('admin:provisioning_rejectedrequest_changelist')}?{query}", "rejected requests"),
    ]
    joined = format_html_join(" or ", '<a class="underline" href="{}">{}</a>', links)
    return format_html("No device matches “{}”. It may have tried and failed: look for it among the {}.", term, joined)


def _found_exactly(term: str) -> list[uuid.UUID]:
    """Return the ids of devices whose id, token, MQTT client id or MQTT user name is `term`."""
    ids = (username_id(term), mqtt_basic_id(client_id=term, username=""))
    found: list[uuid.UUID] = list(DeviceCredentials.objects.filter(credentials_id__in=ids).values_list("device_id", flat=True))
    try:
        found.append(uuid.UUID(term))
    except ValueError:
        return found
    return found
