"""Results as downloads, and who may download them."""

from collections.abc import Iterable
from typing import Any

from django.http import StreamingHttpResponse

from devices.services import credentials_handed_out
from imports import results
from imports.models import ImportJob


def may_see_secrets(user: Any) -> bool:
    """Return whether `user` may see credentials."""
    return bool(user.has_perm("devices.reveal_devicecredentials"))


def uploaded(user: Any, job: ImportJob) -> bool:
    """Return whether the rows of `job` are known to `user` anyway."""
    return bool(job.created_by_id == user.pk)


def may_see_rows(user: Any, job: ImportJob) -> bool:
    """Return whether `user` may see what the file of `job` holds: it may hold secrets, which its uploader has already."""
    return uploaded(user, job) or may_see_secrets(user)


def rejected(job: ImportJob) -> StreamingHttpResponse:
    return _download(results.refused_rows(job), f"rejected-{job.file_name}")


def credentials(job: ImportJob) -> StreamingHttpResponse:
    credentials_handed_out(credentials=results.generated(job))
    return _download(results.generated_credentials(job), f"credentials-{job.file_name}")


def _download(lines: Iterable[str], name: str) -> StreamingHttpResponse:
    answer = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    stem = "".join(character if character.isalnum() or character in "-_." else "_" for character in name)
    answer.headers["Content-Disposition"] = f'attachment; filename="{stem.encode("ascii", "replace").decode().replace("?", "_")}"'
    answer.headers["Cache-Control"] = "no-store"
    return answer
