"""Health checks: is it alive, is it ready?"""

from http import HTTPStatus

from django.db import Error
from django.http import HttpRequest, HttpResponse, JsonResponse

from operations.choices import Process
from operations.heartbeat import missing_processes, needed_processes


def healthz(_request: HttpRequest) -> HttpResponse:
    """Answer 200 while this web process runs. Nothing else is checked."""
    return HttpResponse("ok\n", content_type="text/plain")


def readyz(_request: HttpRequest) -> JsonResponse:
    """Answer 200 if every process of the installation is ready, else 503 and which is not."""
    try:
        missing = missing_processes()
    except Error:
        states = {Process.WEB.value: "ready", "database": "away"}
        return JsonResponse({"ready": False, "processes": states}, status=HTTPStatus.SERVICE_UNAVAILABLE)
    states = {Process.WEB.value: "ready"} | {process.value: missing.get(process, "ready") for process in needed_processes()}
    status = HTTPStatus.SERVICE_UNAVAILABLE if missing else HTTPStatus.OK
    return JsonResponse({"ready": not missing, "processes": states}, status=status)
