"""What brokers call, below /api/brokers/{id}/."""

from django.urls import path

from brokers.replica import views as replica
from brokers.views import broker_call

urlpatterns = [
    path("snapshot", replica.snapshot, name="replica_snapshot"),
    path("events", replica.events, name="replica_events"),
    path("seen", replica.seen, name="replica_seen"),
    path("<str:name>", broker_call, name="broker_call"),
]
