"""Health checks: is it alive, is it ready?"""

import shutil
from http import HTTPStatus

from django.conf import settings
from django.db import Error
from django.http import HttpRequest, HttpResponse, JsonResponse

from operations.choices import Process
from operations.heartbeat import missing_processes, needed_processes

# With less than this on the disk of the data folder, writes will soon fail.
LOW_DISK_BYTES = 64 * 1024 * 1024


def healthz(_request: HttpRequest) -> HttpResponse:
    """Answer 200 while this web process runs. Nothing else is checked."""
    return HttpResponse("ok\n", content_type="text/plain")


def readyz(_request: HttpRequest) -> JsonResponse:
    """Answer 200 if every process of the installation is ready, else 503 and which is not; warn of a full disk."""
    try:
        missing = missing_processes()
    except Error:
        states = {Process.WEB.value: "ready", "database": "unavailable"}
        return JsonResponse({"ready": False, "processes": states}, status=HTTPStatus.SERVICE_UNAVAILABLE)
    states = {Process.WEB.value: "ready"} | {process.value: missing.get(process, "ready") for process in needed_processes()}
    states |= _disk_state()
    status = HTTPStatus.SERVICE_UNAVAILABLE if missing else HTTPStatus.OK
    return JsonResponse({"ready": not missing, "processes": states}, status=status)


def _disk_state() -> dict[str, str]:
    """Return an entry for a disk that is nearly full. It is a warning: the database may be on another one."""
    try:
        free = shutil.disk_usage(settings.DATA_DIR).free
    except OSError:
        return {}
    return {"disk": f"nearly full: {free // 2**20} MiB left in {settings.DATA_DIR}"} if free < LOW_DISK_BYTES else {}
