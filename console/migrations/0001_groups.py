"""The groups Viewer, Operator and Administrator, with what each may do."""

from django.contrib.auth.management import create_permissions
from django.db import migrations

from console.rights import RIGHTS, grant_rights


def make_groups(apps, schema_editor):
    # Django makes permissions only after the last migration; these are needed now.
    for label in sorted({right.partition(".")[0] for rights in RIGHTS.values() for right in rights}):
        app_config = apps.get_app_config(label)
        app_config.models_module = True
        create_permissions(app_config, apps=apps, verbosity=0)
        app_config.models_module = None
    grant_rights(apps)


class Migration(migrations.Migration):
    dependencies = [
        ("admin", "0003_logentry_add_action_flag_choices"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("axes", "0010_accessattemptexpiration"),
        ("brokers", "0001_initial"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("devices", "0001_initial"),
        ("profiles", "0001_initial"),
        ("provisioning", "0001_initial"),
        ("operations", "0001_initial"),
    ]
    operations = [migrations.RunPython(make_groups, migrations.RunPython.noop)]
