"""What brokers call, below /api/brokers/{id}/."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
