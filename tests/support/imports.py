"""Importing lists of devices in tests."""

import datetime as dt
import io
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from imports.choices import Verdict
from imports.columns import Column, mapped
from imports.csv.file_format import detect
from imports.csv.records import Records
from imports.pipeline import ImportSpec, import_file
from imports.planner import Decision
from profiles.models import DeviceProfile
from profiles.services import profile_create

# The sample of ThingsBoard's guide to bulk provisioning: the last three devices share a token, Device 5 has no Data2.
GUIDE_SAMPLE = "name,type,Data1,Data2,Data3,Data4,Data5,Data6,Data7,Data8,Data9,Data10\n" + "".join(
    f"Device {number},testImport,123,{'' if number == 5 else 'test'},TRUE,FALSE,123.55,test,test,test,test,AbfdgrRetGF{token}\n"
    for number, token in enumerate((45, 46, 47, 48, 49, 50, 51, 52, 52, 52), start=1)
)


def make_profile(name: str = "sensors", strategy: str = "CHECK_PRE_PROVISIONED_DEVICES", **fields: Any) -> DeviceProfile:
    return profile_create(name=name, strategy=strategy, **fields)[0]


def import_text(
    text: str | bytes, profile: DeviceProfile | None, *, update: bool = False, dry_run: bool = False, **overrides: Column
) -> list[Decision]:
    """Import `text` and return what became of each row; `overrides` are columns by header."""
    content = text.encode() if isinstance(text, str) else text
    form = detect(io.BytesIO(content))
    columns = mapped(Records(io.BytesIO(content), form).headers, overrides)
    decisions: list[Decision] = []
    order = ImportSpec(form, columns, profile, update=update, dry_run=dry_run)
    import_file(io.BytesIO(content), order, on_commit=lambda chunk: decisions.extend(chunk.decisions))
    return decisions


def refusals(decisions: list[Decision]) -> dict[int, str]:
    """Return the reasons of the refused rows, by line."""
    return {one.row.record.line: str(one.refusal) for one in decisions if one.verdict == Verdict.REFUSED}


def write_list(path: Path, rows: int, prefix: str = "DHT11") -> Path:
    """Write a list of devices with token, label and two attributes, and return its path."""
    with path.open("w") as file:
        file.write("name,token,label,batch,limit\n")
        file.writelines(f"{prefix}-{i:06},token-{prefix}-{i:06},Sensor {i},spring 2026,{i % 100}\n" for i in range(rows))
    return path


def certificate_pem() -> str:
    """Return a new self-signed certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "DHT11-1")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
