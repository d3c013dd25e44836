from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from config.urls import urlpatterns as product


class HelloView(APIView):
    """POST /api/v1/provision: answers without looking."""

    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()

    def post(self, _request: Request) -> Response:
        return Response({"status": "SUCCESS"})


# The server looks up the paths of the uploads.
urlpatterns = [path("api/v1/provision", HelloView.as_view()), *product]
