"""GET /metrics, for Prometheus only."""

import hmac
from http import HTTPStatus

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse

from operations.metrics import CONTENT_TYPE, web_metrics


def metrics(request: HttpRequest) -> HttpResponse:
    """Answer 200 with the metrics of this web server to callers that present METRICS_TOKEN, else 401.

    404 while METRICS_TOKEN is not set, so that metrics are never public by accident.
    """
    if not settings.METRICS_TOKEN:
        raise Http404
    presented = request.headers.get("Authorization", "").encode("utf-8", "surrogatepass")
    if not hmac.compare_digest(presented, f"Bearer {settings.METRICS_TOKEN}".encode()):
        return HttpResponse(status=HTTPStatus.UNAUTHORIZED, headers={"WWW-Authenticate": "Bearer"}, content_type="text/plain")
    return HttpResponse(web_metrics(), content_type=CONTENT_TYPE, headers={"Cache-Control": "no-store"})
