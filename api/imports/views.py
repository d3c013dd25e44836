"""The import API: ThingsBoard's bulk import, and uploads that a worker imports."""

import io
import logging
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.files.uploadedfile import UploadedFile
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import APIException, PermissionDenied, ValidationError
from rest_framework.pagination import PageNumberPagination
from rest_framework.parsers import JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from api.choices import Scope
from api.imports.serializers import BulkImportResultSerializer, BulkImportSerializer, JobSerializer, UploadSerializer
from api.permissions import Access, HasAccess, may
from imports import downloads, services
from imports.choices import ImportSource, ImportState, Verdict
from imports.columns import BadMapping
from imports.csv.file_format import UnreadableFile
from imports.models import ImportJob
from imports.pipeline import Chunk
from imports.tasks import dispatch

log = logging.getLogger(__name__)

# ThingsBoard's error codes, which its clients evaluate.
_THINGSBOARD_CODES = {
    HTTPStatus.UNAUTHORIZED: 10,
    HTTPStatus.FORBIDDEN: 20,
    HTTPStatus.BAD_REQUEST: 31,
}


ADD = ("devices.add_device",)
READ = Access((Scope.READ, Scope.IMPORTS_WRITE), ADD)
WRITE = Access((Scope.IMPORTS_WRITE,), ADD)
UNDO = Access((Scope.IMPORTS_WRITE,), (*ADD, "devices.delete_device"))
UPDATE = Access((Scope.IMPORTS_WRITE,), ("devices.change_device",))
REVEAL = Access((Scope.CREDENTIALS_REVEAL,), (*ADD, "devices.reveal_devicecredentials"))


class ImportApi(APIView):
    permission_classes = (HasAccess,)


class TooLarge(APIException):
    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    default_detail = "The list is too large for one request; upload it to /api/imports/."


class BulkImportView(ImportApi):
    """POST /api/device/bulk_import: import a list while the client waits, as ThingsBoard does."""

    parser_classes = (JSONParser,)
    access = {"POST": WRITE}

    @extend_schema(request=BulkImportSerializer, responses=BulkImportResultSerializer)
    def post(self, request: Request) -> Response:
        """Import a list of devices and respond when it is done. The request is that of ThingsBoard."""
        if int(request.META.get("CONTENT_LENGTH") or 0) > settings.IMPORT_MAX_INLINE_BYTES:
            raise TooLarge
        serializer = BulkImportSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        return Response(_imported(request, serializer.validated_data))

    def handle_exception(self, exc: Exception) -> Response:
        answer = super().handle_exception(exc)
        code = _THINGSBOARD_CODES.get(HTTPStatus(answer.status_code), 2)
        answer.data = {"status": answer.status_code, "message": _sentence(answer.data), "errorCode": code}
        return answer


def _imported(request: Request, validated: dict[str, Any]) -> dict[str, Any]:
    mapping = validated["mapping"]
    _check_rights(request, update=mapping["update"])
    # JSON may contain a lone surrogate, which has no UTF-8 form: its row is refused later.
    content = validated["file"].encode(errors="surrogatepass")
    errors: list[str] = []
    job = services.job_create(
        file_name="bulk_import.csv",
        source=ImportSource.HTTP,
        user=_user(request),
        profile=validated.get("profile"),
        state=ImportState.QUEUED,
        size_bytes=len(content),
        encoding="utf-8-sig",
        delimiter=mapping["delimiter"],
        header=mapping["header"],
        columns=[column.as_json() for column in mapping["columns"]],
        update=mapping["update"],
    )

    def note_errors(chunk: Chunk) -> None:
        refused = (one for one in chunk.decisions if one.verdict == Verdict.REFUSED)
        errors.extend(f"Line {one.row.record.line}: {one.refusal}" for one in refused)

    try:
        services.job_run(job=job, file=io.BytesIO(content), on_commit=note_errors)
    except UnreadableFile as err:
        raise ValidationError({"file": str(err)}) from err
    job.refresh_from_db()
    return {"created": job.created, "updated": job.updated + job.unchanged, "errors": job.errors, "errorsList": errors}


def _sentence(detail: Any) -> str:
    """Return the first sentence of DRF's nested errors, with its field."""
    if isinstance(detail, dict):
        field, inner = next(iter(detail.items()))
        return _sentence(inner) if field in ("detail", "non_field_errors") else f"{field}: {_sentence(inner)}"
    if isinstance(detail, list):
        return _sentence(next((entry for entry in detail if entry), ""))
    return str(detail)


def _check_rights(request: Request, *, update: bool) -> None:
    if update and not may(request, UPDATE):
        raise PermissionDenied("You may import new devices, but not update existing ones.")


class Pages(PageNumberPagination):
    page_size = 50


class ImportViewSet(ImportApi, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[ImportJob]):
    """Imports in a worker: upload a list, then poll its progress."""

    queryset = ImportJob.objects.exclude(state=ImportState.DRAFT).select_related("profile", "created_by")
    serializer_class = JobSerializer
    pagination_class = Pages
    parser_classes = (MultiPartParser,)
    access = {
        "list": READ,
        "retrieve": READ,
        "create": WRITE,
        "cancel": WRITE,
        "undo": UNDO,
        "rejected": READ,
        "credentials": REVEAL,
    }

    @extend_schema(request={"multipart/form-data": UploadSerializer}, responses={202: JobSerializer})
    def create(self, request: Request) -> Response:
        """Upload a list of devices. The response has the URL of the import and its progress."""
        serializer = UploadSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        _check_rights(request, update=serializer.validated_data["update"])
        job = _uploaded(request, serializer.validated_data)
        answer = self.get_serializer(job).data
        return Response(answer, HTTPStatus.ACCEPTED, headers={"Location": answer["url"]})

    @extend_schema(request=None, responses=JobSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Stop the import after the current rows. Imported rows stay."""
        job = self.get_object()
        services.job_cancel(job=job)
        return Response(self.get_serializer(job).data)

    @extend_schema(request=None, responses={202: JobSerializer})
    @action(detail=True, methods=["post"])
    def undo(self, request: Request, pk: str) -> Response:
        """Delete the devices that the import created and that have not provisioned since."""
        job = self.get_object()
        if not services.job_begin_undo(job=job, dispatch=dispatch):
            raise ValidationError("Only an import that has ended can be undone, and only once.")
        return Response(self.get_serializer(job).data, HTTPStatus.ACCEPTED)

    @extend_schema(responses={(200, "text/csv"): OpenApiTypes.STR})
    @action(detail=True, url_path="rejected.csv")
    def rejected(self, request: Request, pk: str) -> StreamingHttpResponse:
        """The refused rows, each with line and error."""
        job = self.get_object()
        if not (downloads.uploaded(request.user, job) or may(request, REVEAL)):
            raise PermissionDenied("The rows may hold secrets, which you may not see.")
        return downloads.rejected(job)

    @extend_schema(responses={(200, "text/csv"): OpenApiTypes.STR})
    @action(detail=True, url_path="credentials.csv")
    def credentials(self, request: Request, pk: str) -> StreamingHttpResponse:
        """The tokens that the import generated."""
        return downloads.credentials(self.get_object())


def _user(request: Request) -> User | None:
    return request.user if isinstance(request.user, User) else None


def _uploaded(request: Request, validated: dict[str, Any]) -> ImportJob:
    """Return a queued job. Raises ValidationError and then stores nothing."""
    upload: UploadedFile[Any] = validated["file"]
    job = services.job_create(
        file_name=upload.name or "upload.csv", source=ImportSource.HTTP, user=_user(request), profile=validated.get("profile")
    )
    try:
        services.job_store_file(
            job=job, blocks=upload.chunks(), **{name: validated[name] for name in ("encoding", "delimiter", "header")}
        )
        columns = services.job_columns(job=job, overrides=validated["column"], listed=validated.get("columns"))
    except (UnreadableFile, BadMapping) as err:
        services.job_discard(job=job)
        raise ValidationError({"file": str(err)}) from err
    services.job_set_columns(job=job, columns=columns, update=validated["update"])
    services.job_queue(job=job, dry_run=validated["dry_run"], dispatch=dispatch)
    return job
