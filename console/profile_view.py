"""What the page of a profile shows."""

from typing import Any

from django.http import HttpRequest

from profiles.models import DeviceProfile


def profile_context(_request: HttpRequest, profile: DeviceProfile) -> dict[str, Any]:
    return {"profile": profile}
