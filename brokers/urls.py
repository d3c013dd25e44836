"""What brokers call, below /api/brokers/{id}/."""

from django.urls import path

from brokers.views import broker_call

urlpatterns = [
    path("<str:name>", broker_call, name="broker_call"),
]
