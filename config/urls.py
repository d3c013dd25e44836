from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView

from operations.health import healthz, readyz
from operations.metrics_view import metrics

handler400 = "transports.http.errors.bad_request"
handler403 = "transports.http.errors.permission_denied"
handler404 = "transports.http.errors.page_not_found"
handler500 = "transports.http.errors.server_error"

urlpatterns = [
    path("api/v1/", include("transports.http.urls")),  # first, since most requests come from devices
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("metrics", metrics, name="metrics"),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/brokers/<uuid:broker_id>/", include("brokers.urls")),
    path("api/", include("api.urls")),
    path("admin/", admin.site.urls),
]
