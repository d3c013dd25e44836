"""The three groups of operators and their permissions."""

from typing import Any

from django.contrib.auth.management import create_permissions

VIEWER = "Viewer"
OPERATOR = "Operator"
ADMINISTRATOR = "Administrator"

_VIEW = (
    "profiles.view_deviceprofile",
    "devices.view_device",
    "devices.view_deviceattribute",
    "devices.view_latesttelemetry",
    "provisioning.view_provisionattempt",
    "provisioning.view_rejectedrequest",
    "operations.view_heartbeat",
    "brokers.view_broker",
)
# Daily work: devices, their credentials, a profile's rules. Keys and users belong to the administrator.
_OPERATE = (
    *_VIEW,
    "devices.add_device",
    "devices.change_device",
    "devices.delete_device",
    "devices.reveal_devicecredentials",
    "profiles.change_deviceprofile",
    "admin.view_logentry",
)
_ADMINISTER = (
    *_OPERATE,
    "profiles.add_deviceprofile",
    "profiles.delete_deviceprofile",
    "profiles.view_provisioningkey",
    "profiles.add_provisioningkey",
    "profiles.change_provisioningkey",
    "profiles.delete_provisioningkey",
    "profiles.reveal_provisioningkey",
    "brokers.add_broker",
    "brokers.change_broker",
    "brokers.delete_broker",
    *(f"auth.{verb}_{model}" for model in ("user", "group") for verb in ("view", "add", "change", "delete")),
    "axes.view_accessattempt",
    "axes.delete_accessattempt",
)
RIGHTS = {VIEWER: _VIEW, OPERATOR: _OPERATE, ADMINISTRATOR: _ADMINISTER}


def migrate_rights(apps: Any, _schema_editor: Any) -> None:
    """Call `grant_rights` in a migration, which must depend on those that create the models of new rights."""
    labels = {right.partition(".")[0] for rights in RIGHTS.values() for right in rights}
    # Django makes permissions only after the last migration; these are needed now.
    for app_config in [found for found in apps.get_app_configs() if found.label in labels]:
        app_config.models_module = True
        create_permissions(app_config, apps=apps, verbosity=0)
        app_config.models_module = None
    grant_rights(apps)


def grant_rights(apps: Any) -> None:
    """Create the three groups and add their permissions to those that they have.

    `apps` is the registry of a migration, or Django's own. A permission that does not exist yet is skipped.
    """
    group_model = apps.get_model("auth", "Group")
    permission_model = apps.get_model("auth", "Permission")
    permissions = {
        f"{permission.content_type.app_label}.{permission.codename}": permission
        for permission in permission_model.objects.select_related("content_type")
    }
    for name, rights in RIGHTS.items():
        group, _ = group_model.objects.get_or_create(name=name)
        group.permissions.add(*(permissions[right] for right in rights if right in permissions))
