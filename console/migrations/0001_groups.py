"""The groups Viewer, Operator and Administrator, with what each may do."""

from django.db import migrations

from console.rights import migrate_rights


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
    operations = [migrations.RunPython(migrate_rights, migrations.RunPython.noop)]
