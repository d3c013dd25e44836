"""Every secret may come from a file, as Docker, Kubernetes and systemd provide them: `NAME_FILE` in place of `NAME`."""

import json
import os
import subprocess
import sys

from cryptography.fernet import Fernet

from tests.support.web import ROOT

SECRETS = {
    "SECRET_KEY": "s" * 60,
    "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    "LOOKUP_KEY": "l" * 40,
    "MQTT_BRIDGE_PASSWORD": "$bridge-password",
    "DATABASE_URL": "postgres://firstlight:p%40ss%24@db.example:5433/fleet?sslmode=verify-full",
    "REDIS_URL": "rediss://:redis-password@redis.example:6379/1",
    "MQTT_BROKER_URL": "mqtts://bridge:mqtt-password@mqtt.example:8883",
    "METRICS_TOKEN": "metrics-token-of-thirty-chars-",
}
SHOW = """
import json
from django.conf import settings
names = ("SECRET_KEY", "ENCRYPTION_KEYS", "LOOKUP_KEY", "MQTT_BRIDGE_PASSWORD", "REDIS_URL", "MQTT_BROKER_URL", "METRICS_TOKEN")
print(json.dumps({name: getattr(settings, name) for name in names} | {"database": settings.DATABASES["default"]}, default=str))
"""


def test_every_secret_from_a_file_arrives_without_the_newline(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name not in SECRETS}
    environment |= {"FIRSTLIGHT_ENV": "production", "ALLOWED_HOSTS": "firstlight.example", "FIRSTLIGHT_DATA": str(tmp_path)}
    environment["DJANGO_SETTINGS_MODULE"] = "config.settings"
    for name, value in SECRETS.items():
        (tmp_path / name).write_text(value + "\n")
        environment[f"{name}_FILE"] = str(tmp_path / name)

    done = subprocess.run([sys.executable, "-c", SHOW], env=environment, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    database = result.pop("database")
    assert result == {name: value for name, value in SECRETS.items() if name in result} | {
        "ENCRYPTION_KEYS": [SECRETS["ENCRYPTION_KEYS"]]
    }
    assert (database["NAME"], database["USER"], database["PASSWORD"]) == ("fleet", "firstlight", "p@ss$")
    assert (database["HOST"], database["PORT"], database["OPTIONS"]["sslmode"]) == ("db.example", 5433, "verify-full")
    assert "statement_timeout" in database["OPTIONS"]["options"]
