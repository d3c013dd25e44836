"""`manage.py derive_secrets`, with openssl as the other side."""

import base64
import csv
import io
import json
import subprocess
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from profiles.choices import SecretUse, Strategy
from profiles.models import ProvisioningKey

pytestmark = pytest.mark.django_db


def command(name: str, *arguments: str) -> str:
    out = io.StringIO()
    call_command(name, *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def key() -> ProvisioningKey:
    made = json.loads(
        command("create_profile", "sensors", "--strategy", Strategy.ALLOW_CREATE, "--secret-use", "derived", "--json")
    )
    assert made["secret_use"] == "derived"
    return ProvisioningKey.objects.get(key=made["key"], secret_use=SecretUse.DERIVED)


@pytest.mark.parametrize(
    "content",
    ["DHT11-1\n\n Fühler, 2 \n", 'label;name\nHall;DHT11-1\nCellar;"Fühler, 2"\n', '\ufeffName\nDHT11-1\n"Fühler, 2"\n'],
)
def test_names_by_line_and_of_a_csv_column_have_the_secrets_that_openssl_makes(key, tmp_path: Path, content):
    names = tmp_path / "names"
    names.write_text(content, encoding="utf-8")

    rows = list(csv.DictReader(io.StringIO(command("derive_secrets", "--key", key.key, str(names)))))
    as_json = json.loads(command("derive_secrets", "--key", key.key, "--json", str(names)).splitlines()[-1])

    assert [row["name"] for row in rows] == ["DHT11-1", "Fühler, 2"]
    assert as_json == {"key": key.key, "devices": rows}
    for row in rows:
        openssl = ["openssl", "dgst", "-sha256", "-hmac", key.secret, "-binary"]
        digest = subprocess.run(openssl, input=row["name"].encode(), check=True, capture_output=True).stdout
        assert row["secret"] == base64.b64encode(digest).decode()


def test_what_cannot_be_derived_is_refused_and_nothing_is_printed(key, tmp_path: Path):
    names = tmp_path / "names"
    names.write_text("name,label\nDHT11-1,a\n,b\n")
    shared = json.loads(command("create_profile", "shared", "--strategy", Strategy.ALLOW_CREATE, "--json"))["key"]

    for arguments, said in (
        (("--key", key.key, str(names)), "Line 3"),
        (("--key", "unknown", str(names)), "no such key"),
        (("--key", shared, str(names)), "present its secret as it is"),
        (("--key", key.key, str(tmp_path / "missing")), "cannot be read"),
    ):
        out = io.StringIO()
        with pytest.raises(CommandError, match=said):
            call_command("derive_secrets", *arguments, stdout=out)
        assert out.getvalue() == ""
