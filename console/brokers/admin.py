"""The pages of brokers: list, add, and the page of each with its configuration, test, last denials and kicks."""

import uuid
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import ADDITION
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_POST
from unfold.decorators import display
from unfold.widgets import UnfoldAdminPasswordWidget

from brokers.choices import BrokerKind
from brokers.configuration import configuration
from brokers.kicks import ADAPTERS
from brokers.models import Broker
from brokers.selectors import calls_url, own_url, state_of
from brokers.services import broker_create, broker_delete, broker_rotate_secret, broker_update
from console.admin_base import PageAdmin, RefusableForm, form_errors, log_changes
from console.brokers.rehearsal import Finding, rehearse

_SESSION_KEY = "broker_to_show"
SHOWN = 50
MANAGED = ("mqtt_url", "management_url", "management_user", "management_password")


class _Text(forms.TextInput):
    def __init__(self) -> None:
        super().__init__(attrs={"class": "fl-input"})


class NewBrokerForm(forms.Form):
    name = forms.CharField(max_length=255, widget=_Text(), help_text="What you call this broker, e.g. Plant 7.")
    kind = forms.ChoiceField(
        label="Which broker is it", choices=BrokerKind.choices, widget=forms.Select(attrs={"class": "fl-input"})
    )
    mqtt_url = forms.CharField(
        label="MQTT address",
        required=False,
        widget=_Text(),
        help_text="Where devices connect, e.g. mqtt://10.0.0.5:1883. Needed to test the broker from here.",
    )


class BrokerForm(RefusableForm):
    management_password = forms.CharField(
        required=False, widget=UnfoldAdminPasswordWidget(), help_text="Password or API secret. Leave blank to keep it."
    )

    class Meta:
        model = Broker
        fields = ("name", *MANAGED)


@admin.register(Broker)
class BrokerAdmin(PageAdmin):
    form = BrokerForm
    list_display = ("name", "kind", "state", "mqtt_url", "last_asked_at")
    search_fields = ("name",)
    fieldsets = (
        (None, {"fields": ("name", "mqtt_url")}),
        ("Management API", {"fields": ("management_url", "management_user", "management_password")}),
    )

    @display(
        description="state", label={"asks": "success", "not asked yet": "info", "silent": "warning", "admits anyone": "danger"}
    )
    def state(self, broker: Broker) -> str:
        return state_of(broker)

    def get_fieldsets(self, request: HttpRequest, obj: Broker | None = None) -> Any:
        """Return the fields without the management API, where none is used."""
        return self.fieldsets[:1] if obj and obj.kind not in ADAPTERS else self.fieldsets

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).defer("secret", "management_password")

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        pages = [
            path("<uuid:object_id>/test/", wrap(require_POST(self.test_view)), name="broker_test"),
            path("<uuid:object_id>/rotate/", wrap(require_POST(self.rotate_view)), name="broker_rotate"),
        ]
        return [*pages, *super().get_urls()]

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        self.check_permission(self.has_add_permission(request))
        form = NewBrokerForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                with transaction.atomic():
                    broker = broker_create(**form.cleaned_data)
                    log_changes(request, [broker], "Added.", ADDITION)
                return self._show_next(request, broker)
            except ValidationError as err:
                form_errors(form, err)
        context = {**self.admin_site.each_context(request), "opts": self.opts, "title": "Add broker", "form": form}
        return TemplateResponse(request, "admin/brokers/new_broker.html", context)

    def page_view(self, request: HttpRequest, object_id: uuid.UUID) -> HttpResponse:
        return self._page(request, object_id)

    def test_view(self, request: HttpRequest, object_id: uuid.UUID) -> HttpResponse:
        """Play four devices against the broker, and show what each saw."""
        broker = self._changeable(request, object_id)
        log_changes(request, [broker], "Tested with four played devices.")
        return self._page(request, object_id, rehearse(broker))

    def rotate_view(self, request: HttpRequest, object_id: uuid.UUID) -> HttpResponse:
        """Give the broker a new secret, and show its configuration once."""
        broker = self._changeable(request, object_id)
        with transaction.atomic():
            broker_rotate_secret(broker=broker)
            log_changes(request, [broker], "New secret made; the old one is refused.")
        messages.success(request, "The old secret is refused from now on. Change the broker's configuration.")
        return self._show_next(request, broker)

    def save_model(self, request: HttpRequest, obj: Broker, form: forms.ModelForm[Broker], change: Any) -> None:
        values = {name: form.cleaned_data[name] for name in ("name", *MANAGED) if name in form.cleaned_data}
        if not values.get("management_password", "-"):
            del values["management_password"]
        broker_update(broker=obj, **values)

    def delete_model(self, request: HttpRequest, obj: Broker) -> None:
        broker_delete(broker=obj)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Return none: brokers are deleted one at a time."""
        return {}

    def log_change(self, request: HttpRequest, obj: Broker, message: Any) -> None:
        log_changes(request, [obj], message)

    def _changeable(self, request: HttpRequest, object_id: uuid.UUID) -> Broker:
        broker: Broker = self.get_viewable(request, object_id, Broker.objects.all())
        self.check_permission(self.has_change_permission(request, broker))
        return broker

    def _show_next(self, request: HttpRequest, broker: Broker) -> HttpResponse:
        # Only its id goes into the session.
        request.session[_SESSION_KEY] = str(broker.pk)
        return HttpResponseRedirect(self.page_url(broker))

    def _page(self, request: HttpRequest, object_id: uuid.UUID, findings: list[Finding] | None = None) -> HttpResponse:
        broker: Broker = self.get_viewable(request, object_id, Broker.objects.all())
        may_change = self.has_change_permission(request, broker)
        shown = may_change and request.session.pop(_SESSION_KEY, None) == str(broker.pk)
        context = {
            **self.admin_site.each_context(request),
            "title": broker.name,
            # In place of `opts`, so that the last crumb is the title.
            "model_admin": self,
            "broker": broker,
            "state": state_of(broker),
            "calls_url": calls_url(broker),
            "own_url": own_url(),
            "may_change": may_change,
            "ends_sessions": broker.kind in ADAPTERS,
            # The plugin decides by itself and reports no denials.
            "reports_denials": broker.kind != BrokerKind.MOSQUITTO,
            "configuration": configuration(broker) if shown else "",
            "findings": findings,
            "denials": broker.denials.all()[:SHOWN],
            "kicks": broker.kicks.all()[:SHOWN],
        }
        answer = TemplateResponse(request, "admin/brokers/broker_page.html", context)
        answer["Cache-Control"] = "no-store"
        return answer
