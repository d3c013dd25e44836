from django.urls import path

from transports.http.views import AttributesView, AttributeUpdatesView, ProvisionView, TelemetryView

urlpatterns = [
    path("provision", ProvisionView.as_view(), name="provision"),
    # `path`, not `str`: a token that a device chose may have a slash.
    path("<path:token>/telemetry", TelemetryView.as_view(), name="telemetry"),
    path("<path:token>/attributes/updates", AttributeUpdatesView.as_view(), name="attribute-updates"),
    path("<path:token>/attributes", AttributesView.as_view(), name="attributes"),
]
