"""The import pages: the list of imports, the steps to a new one, and the page of an import."""

import uuid
from itertools import islice
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import ADDITION
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST
from unfold.decorators import display

from console.admin_base import PageAdmin, log_changes
from console.imports.forms import SetupForm, UploadForm, columns_of, sample_cells
from imports import downloads, services, stored_files
from imports.choices import ImportSource, ImportState, Verdict
from imports.columns import KEYED, BadMapping, ColumnType
from imports.csv.file_format import FileFormat, UnreadableFile
from imports.csv.records import Records
from imports.models import ImportJob
from imports.tasks import dispatch

SAMPLE_ROWS = 5
SHOWN_ROWS = 100
ADD, CHANGE, DELETE = "devices.add_device", "devices.change_device", "devices.delete_device"
STATE_COLOURS = {
    ImportState.RUNNING: "info",
    ImportState.DONE: "success",
    ImportState.CANCELLED: "warning",
    ImportState.FAILED: "danger",
}
BUSY = (ImportState.QUEUED, ImportState.RUNNING, ImportState.UNDOING)
STEPS = ("Upload", "Configuration", "Columns", "Dry run", "Import")


@admin.register(ImportJob)
class ImportJobAdmin(PageAdmin):
    list_display = ("file_name", "profile", "what", "state_shown", "created", "updated", "errors", "created_by", "created_at")
    list_filter = ("state", "profile", "source", "created_at")
    list_select_related = ("profile", "created_by")
    search_fields = ("file_name",)

    def has_view_permission(self, request: HttpRequest, obj: ImportJob | None = None) -> bool:
        return request.user.has_perm(ADD)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(ADD)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(ADD)

    def has_change_permission(self, request: HttpRequest, obj: ImportJob | None = None) -> bool:
        """Return False: imports are not edited."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ImportJob | None = None) -> bool:
        return False

    @display(description="state", label={state.label: colour for state, colour in STATE_COLOURS.items()})
    def state_shown(self, job: ImportJob) -> str:
        return str(job.get_state_display())

    @display(description="kind")
    def what(self, job: ImportJob) -> str:
        return "Dry run" if job.dry_run else "Import"

    def get_urls(self) -> list[URLPattern]:
        steps = {"setup": self.setup_view, "columns": self.columns_view, "progress": self.progress_view}
        posts = {"import": self.import_view, "cancel": self.cancel_view, "undo": self.undo_view}
        files = {"rejected.csv": self.rejected_view, "credentials.csv": self.credentials_view}
        views = {**steps, **{name: require_POST(view) for name, view in posts.items()}, **files}
        return [
            path(
                f"<uuid:object_id>/{name}{'' if '.' in name else '/'}",
                self.admin_site.admin_view(view),
                name=f"import_{name.partition('.')[0]}",
            )
            for name, view in views.items()
        ] + super().get_urls()

    # --- The steps ---

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None) -> HttpResponse:
        self.check_permission(self.has_add_permission(request))
        form = UploadForm(request.POST or None, request.FILES or None)
        if request.method == "POST" and form.is_valid():
            upload = form.cleaned_data["file"]
            job = services.job_create(
                file_name=upload.name, source=ImportSource.BROWSER, user=_user(request), profile=form.cleaned_data["profile"]
            )
            try:
                services.job_store_file(job=job, blocks=upload.chunks())
                return HttpResponseRedirect(reverse("admin:import_setup", args=(job.pk,)))
            except UnreadableFile as err:
                services.job_discard(job=job)
                form.add_error("file", str(err))
        return self._step(request, "upload", 0, title="Import devices", form=form)

    def setup_view(self, request: HttpRequest, object_id: uuid.UUID) -> HttpResponse:
        job = self._open_rows(request, object_id)
        form = SetupForm(request.POST or None, instance=job, may_update=request.user.has_perm(CHANGE))
        if request.method == "POST" and form.is_valid():
            try:
                services.job_set_format(job=job, form=FileFormat(job.encoding, job.delimiter, job.header))
                return HttpResponseRedirect(reverse("admin:import_columns", args=(job.pk,)))
            except UnreadableFile as err:
                form.add_error(None, str(err))
                messages.error(request, str(err))
        return self._step(request, "setup", 1, title=f"Format of {job.file_name}", form=form, job=job)

    def columns_view(self, request: HttpRequest, object_id: uuid.UUID) -> HttpResponse:
        job = self._open_rows(request, object_id)
        rows = [record.fields for record in islice(Records(stored_files.opened(job), job.form), SAMPLE_ROWS)]
        width = len(job.headers) if job.header else max(map(len, rows), default=0)
        if request.method == "POST":
            try:
                services.job_set_columns(job=job, columns=columns_of(request.POST, width), update=job.update)
                services.job_queue(job=job, dry_run=True, dispatch=dispatch)
                return HttpResponseRedirect(self.page_url(job))
            except BadMapping as err:
                messages.error(request, str(err))
        columns = [
            {
                "title": job.headers[index] if job.header else f"Column {index + 1}",
                "type": request.POST.get(f"type-{index}", one.type),
                "key": request.POST.get(f"key-{index}", one.key),
                "cells": sample_cells(rows, index),
            }
            for index, one in enumerate(services.job_suggested_columns(job=job, width=width))
        ]
        return self._step(request, "columns", 2, title="Columns", job=job, columns=columns, types=ColumnType.choices, keyed=KEYED)

    def _open(self, request: HttpRequest, object_id: uuid.UUID) -> ImportJob:
        """Return the job if it can still be configured. Raises PermissionDenied and Http404."""
        job: ImportJob = self.get_viewable(request, object_id, ImportJob.objects.select_related("profile"))
        self.check_permission(job.can_be_set_up and stored_files.is_stored(job))
        return job

    def _open_rows(self, request: HttpRequest, object_id: uuid.UUID) -> ImportJob:
        """Return the job, for a page that shows values of its file, headers included: they may be tokens and passwords."""
        job = self._open(request, object_id)
        self.check_permission(downloads.may_see_rows(request.user, job))
        return job

    def _step(self, request: HttpRequest, name: str, number: int, **context: Any) -> HttpResponse:
        steps = [(title, index == number) for index, title in enumerate(STEPS)]
        shared = {**self.admin_site.each_context(request), "opts": self.opts, "steps": steps}
        return TemplateResponse(request, f"admin/imports/{name}.html", shared | context)

    # --- The page of a job and its actions ---

    def page_view(self, request: HttpRequest, object_id: uuid.UUID) -> HttpResponse:
        job: ImportJob = self.get_viewable(request, object_id, ImportJob.objects.select_related("profile", "created_by"))
        if job.state == ImportState.DRAFT:
            return HttpResponseRedirect(reverse("admin:import_setup", args=(job.pk,)))
        ended = job.state not in BUSY
        shown = {verdict.value.lower(): job.row_results.filter(verdict=verdict)[:SHOWN_ROWS] for verdict in Verdict}
        return self._step(
            request,
            "job",
            3 if job.dry_run else 4,
            title=str(job),
            job=job,
            shown=shown,
            state_colour=STATE_COLOURS.get(ImportState(job.state), "info"),
            busy=not ended,
            may_import=ended and job.dry_run and stored_files.is_stored(job),
            may_undo=not job.dry_run and job.can_be_undone and request.user.has_perm(DELETE),
            may_have_rejected=job.errors and downloads.may_see_rows(request.user, job),
            may_have_credentials=not job.dry_run and downloads.may_see_secrets(request.user),
            kept=job.devices.order_by("name")[:SHOWN_ROWS] if job.state == ImportState.UNDONE else (),
            kept_count=job.devices.count() if job.state == ImportState.UNDONE else 0,
        )

    def progress_view(self, request: HttpRequest, object_id: uuid.UUID) -> HttpResponse:
        """Return the progress of the job."""
        job: ImportJob = self.get_viewable(request, object_id, ImportJob.objects.all())
        return JsonResponse({"percent": job.percent, "text": job.progress, "ended": job.state not in BUSY})

    def import_view(self, request: HttpRequest, object_id: uuid.UUID) -> HttpResponse:
        job = self._open(request, object_id)
        self.check_permission(not job.update or request.user.has_perm(CHANGE))
        if services.job_queue(job=job, dry_run=False, dispatch=dispatch):
            log_changes(request, [job], "Import started.", ADDITION)
        return HttpResponseRedirect(self.page_url(job))

    def cancel_view(self, request: HttpRequest, object_id: uuid.UUID) -> HttpResponse:
        job: ImportJob = self.get_viewable(request, object_id, ImportJob.objects.all())
        if services.job_cancel(job=job):
            log_changes(request, [job], "Import cancelled.")
            messages.success(request, "Cancelled. Rows imported so far stay.")
        return HttpResponseRedirect(self.page_url(job))

    def undo_view(self, request: HttpRequest, object_id: uuid.UUID) -> HttpResponse:
        self.check_permission(request.user.has_perm(DELETE))
        job: ImportJob = self.get_viewable(request, object_id, ImportJob.objects.all())
        if services.job_begin_undo(job=job, dispatch=dispatch):
            log_changes(request, [job], "Import undone.")
        return HttpResponseRedirect(self.page_url(job))

    def rejected_view(self, request: HttpRequest, object_id: uuid.UUID) -> Any:
        job: ImportJob = self.get_viewable(request, object_id, ImportJob.objects.all())
        self.check_permission(downloads.may_see_rows(request.user, job))
        return downloads.rejected(job)

    def credentials_view(self, request: HttpRequest, object_id: uuid.UUID) -> Any:
        self.check_permission(downloads.may_see_secrets(request.user))
        job: ImportJob = self.get_viewable(request, object_id, ImportJob.objects.all())
        log_changes(request, [job], "Generated credentials downloaded.")
        return downloads.credentials(job)


def _user(request: HttpRequest) -> Any:
    return request.user
