"""What a start refuses, and what settings never show."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

ROOT = Path(__file__).resolve().parents[2]
SECRET = "s3cret-" + "x" * 60
PRODUCTION = {
    "FIRSTLIGHT_ENV": "production",
    "SECRET_KEY": SECRET,
    "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    "LOOKUP_KEY": "lookup-" + "y" * 40,
    "ALLOWED_HOSTS": "firstlight.example",
}


def start(tmp_path: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a management command with these environment variables and no others."""
    clean = {"PATH": os.environ["PATH"], "FIRSTLIGHT_DATA": str(tmp_path / "data")} | environment
    arguments = command or ("check", "--deploy", "--fail-level", "WARNING")
    return subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=ROOT, env=clean, capture_output=True, text=True, timeout=60, check=False
    )


def test_production_with_everything_set_starts_and_passes_djangos_checks(tmp_path):
    done = start(tmp_path, **PRODUCTION)

    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "data" / "secrets.json").exists()


@pytest.mark.parametrize("name", ["SECRET_KEY", "ENCRYPTION_KEYS", "LOOKUP_KEY", "ALLOWED_HOSTS"])
def test_production_without_a_needed_value_stops_and_names_it(tmp_path, name):
    done = start(tmp_path, **(PRODUCTION | {name: ""}))

    assert done.returncode != 0
    assert f"{name} is not set" in done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DEBUG", "on"),
        ("ALLOWED_HOSTS", "*"),
        ("SECRET_KEY", "short-" + "z" * 20),
        ("LOOKUP_KEY", "short-zz"),
        ("LOOKUP_KEY", PRODUCTION["SECRET_KEY"]),
        ("ENCRYPTION_KEYS", "not-a-fernet-key-zzzz"),
        ("ENCRYPTION_KEYS", f"{43 * 'A'}=,not-a-fernet-key-zzzz"),
        ("ENCRYPTION_KEYS", " , "),
        ("FIRSTLIGHT_ENV", "Production"),
        ("DATABASE_URL", "postgres://user:password-zz@host:port/name"),
        ("DATABASE_URL", "mysql://user:password-zz@host/name"),
        ("DATABASE_URL", "password-zz"),
        ("HTTP_PORT", "eighty-zz"),
        ("METRICS_TOKEN", "short-zz"),
    ],
)
def test_production_with_an_unsafe_value_stops_and_names_the_variable_not_the_value(tmp_path, name, value):
    done = start(tmp_path, **(PRODUCTION | {name: value}))

    assert done.returncode != 0
    message = done.stderr.strip().splitlines()[-1]
    assert name in message
    assert "zz" not in done.stderr


def test_secret_from_a_file_is_used_without_its_newline(tmp_path):
    file = tmp_path / "key"
    file.write_text(SECRET + "\n")
    code = "from django.conf import settings; print(len(settings.SECRET_KEY))"

    done = start(tmp_path, "shell", "-v0", "-c", code, **(PRODUCTION | {"SECRET_KEY": "", "SECRET_KEY_FILE": str(file)}))

    assert done.stdout.strip() == str(len(SECRET))


def test_secret_file_that_is_missing_stops_the_start_and_names_the_variable(tmp_path):
    done = start(tmp_path, **(PRODUCTION | {"SECRET_KEY_FILE": str(tmp_path / "absent")}))

    assert done.returncode != 0
    assert "SECRET_KEY_FILE" in done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize("secret", ["$HOME" + "h" * 60, "$$" + "h" * 60, "a,b#c;d='e'\"" + "h" * 60, r"\$" + "h" * 60])
def test_secret_with_special_characters_is_taken_as_it_is(tmp_path, secret):
    code = "from django.conf import settings; import sys; sys.stdout.write(settings.SECRET_KEY + str(settings.REDIS_URL))"

    done = start(tmp_path, "shell", "-v0", "-c", code, **(PRODUCTION | {"SECRET_KEY": secret, "REDIS_URL": "redis://:$x@h"}))

    assert done.stdout.strip() == secret + "redis://:$x@h"


def test_diffsettings_prints_no_secret(tmp_path):
    urls = {
        "DATABASE_URL": "postgres://u:hidden-pw@h/d",
        "REDIS_URL": "redis://:hidden-pw@h",
        "MQTT_BROKER_URL": "mqtt://u:hidden-pw@h",
    }

    done = start(
        tmp_path, "diffsettings", "--all", **PRODUCTION, **urls, MQTT_BRIDGE_PASSWORD="hidden-pw", METRICS_TOKEN="hidden-pw" * 4
    )

    assert "SECRET_KEY = '********'" in done.stdout
    for secret in ("hidden-pw", SECRET, PRODUCTION["ENCRYPTION_KEYS"], PRODUCTION["LOOKUP_KEY"]):
        assert secret not in done.stdout


def test_laptop_start_makes_no_warning_about_static_files(tmp_path):
    code = "from config.wsgi import application; print('served')"

    done = start(tmp_path, "shell", "-v0", "-c", code, PYTHONWARNINGS="error:No directory:UserWarning")

    assert done.stdout.strip() == "served", done.stderr
