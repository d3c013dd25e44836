"""The page of a profile."""

import uuid

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from console.profile_view import profile_context
from profiles.admin import DeviceProfileAdmin
from profiles.models import DeviceProfile


@admin.register(DeviceProfile)
class ProfilePageAdmin(DeviceProfileAdmin):
    def page_view(self, request: HttpRequest, object_id: uuid.UUID) -> HttpResponse:
        profile: DeviceProfile = self.get_viewable(request, object_id, DeviceProfile.objects.all())
        context = {
            **self.admin_site.each_context(request),
            "title": profile.name,
            "opts": self.opts,
            **profile_context(request, profile),
        }
        return TemplateResponse(request, "admin/profiles/profile_page.html", context)
