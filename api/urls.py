from django.urls import include, path
from rest_framework.routers import SimpleRouter

from api.imports.views import BulkImportView, ImportViewSet

router = SimpleRouter()
router.register("imports", ImportViewSet, basename="import")

urlpatterns = [
    path("device/bulk_import", BulkImportView.as_view(), name="bulk-import"),
    path("", include(router.urls)),
]
