"""Base classes of all admin pages: services write, every change is logged, nothing shows a secret."""

import uuid
from collections.abc import Callable, Iterable
from typing import Any

from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model, QuerySet
from django.forms import BaseForm, ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils.text import capfirst
from unfold.admin import ModelAdmin
from unfold.views import ChangeList

from console.lookups import StrictLookups

LOGGED_AT_ONCE = 500
SEE_CHANGES = "admin.view_logentry"


def log_changes(request: HttpRequest, rows: QuerySet[Any] | Iterable[Model], message: str, flag: int = CHANGE) -> None:
    """Log that the user of `request` changed `rows` as `message` says. It must contain no secret."""
    chunk: list[Model] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == LOGGED_AT_ONCE:
            _log(request, chunk, message, flag)
            chunk = []
    if chunk:
        _log(request, chunk, message, flag)


def _log(request: HttpRequest, rows: list[Model], message: str, flag: int) -> None:
    assert request.user.pk is not None
    LogEntry.objects.log_actions(request.user.pk, rows, flag, change_message=message)


def attempt_service(request: HttpRequest, service: Callable[[], Any]) -> Any:
    """Return what `service()` returns. If it refuses, show the operator why and return None."""
    try:
        return service()
    except ValidationError as err:
        messages.error(request, " ".join(err.messages))
        return None


def form_errors(form: BaseForm, err: ValidationError) -> None:
    """Add the errors of a service to the fields of `form`, and other errors above them."""
    for name, problems in getattr(err, "message_dict", {"__all__": err.messages}).items():
        for problem in problems:
            form.add_error(name if name in form.fields else None, problem)


class RefusableForm(ModelForm):  # type: ignore[type-arg]
    """A form that shows what the service refused (`refused`) like any other error of its fields."""

    refused: ValidationError | None = None

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if self.refused:
            form_errors(self, self.refused)
        return cleaned


class PageChangeList(ChangeList):
    """A list whose rows link to the page of the object, not to its form."""

    def url_for_result(self, result: Model) -> str:
        return str(self.model_admin.page_url(result))


class TitledAdmin(ModelAdmin):
    """A list whose title says what it is: "Devices", not Django's "Select device to change"."""

    list_title = ""  # default: the plural name of the model

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        title = self.list_title or capfirst(self.opts.verbose_name_plural)
        answer: HttpResponse = super().changelist_view(request, {"title": title} | (extra_context or {}))
        return answer


class BoundedAdmin(StrictLookups, TitledAdmin):
    """A list with a fixed number of queries for any number of rows."""

    list_per_page = 50
    list_max_show_all = 50
    show_full_result_count = False
    show_facets = None
    list_filter_sheet = True
    compressed_fields = True
    list_fullwidth = True

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Show what was done to the object, and by whom, to those who may read that; Django asks for the view right only."""
        if not request.user.has_perm(SEE_CHANGES):
            raise PermissionDenied
        return super().history_view(request, object_id, extra_context)  # type: ignore[no-any-return]


class ReadOnlyAdmin(BoundedAdmin):
    """A read-only list."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class PageAdmin(BoundedAdmin):
    """A model whose objects have a page of their own, besides the form that changes them.

    `page_view` renders it; `get_urls` mounts it at `<id>/`, and the form stays at `<id>/change/`. Its `form` is a RefusableForm.
    """

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show or save the form. If the service refuses, nothing is saved and the form shows the errors and the entries."""
        try:
            return super().changeform_view(request, *args, **kwargs)  # type: ignore[no-any-return]
        except ValidationError as err:
            request.refused = err  # type: ignore[attr-defined]
            return super().changeform_view(request, *args, **kwargs)  # type: ignore[no-any-return]

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        # Django creates a form class for each request.
        form = super().get_form(request, *args, **kwargs)
        form.refused = getattr(request, "refused", None)
        return form

    def page_url(self, row: Model) -> str:
        return reverse(self._page_name(), args=(row.pk,))

    def page_view(self, request: HttpRequest, object_id: uuid.UUID) -> HttpResponse:
        raise NotImplementedError

    def get_urls(self) -> list[URLPattern]:
        page = path("<uuid:object_id>/", self.admin_site.admin_view(self.page_view), name=self._page_name().partition(":")[2])
        urls: list[URLPattern] = super().get_urls()
        return [page, *urls]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return PageChangeList

    def get_viewable(self, request: HttpRequest, object_id: uuid.UUID, queryset: QuerySet[Any]) -> Any:
        """Return the object of `queryset` that the user of `request` may see. Raises PermissionDenied and Http404."""
        self.check_permission(self.has_view_permission(request))
        return get_object_or_404(queryset, pk=object_id)

    def response_post_save_change(self, request: HttpRequest, obj: Model) -> HttpResponse:
        return HttpResponseRedirect(self.page_url(obj))

    @staticmethod
    def check_permission(allowed: bool) -> None:  # noqa: FBT001
        """Raise PermissionDenied unless `allowed`."""
        if not allowed:
            raise PermissionDenied

    def _page_name(self) -> str:
        return f"admin:{self.opts.app_label}_{self.opts.model_name}_page"
