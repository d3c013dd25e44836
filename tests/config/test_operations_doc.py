"""docs/operations.md lists what can be set."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_variable_that_settings_read_is_in_the_table():
    settings = (ROOT / "config/settings.py").read_text()
    read = set(re.findall(r'(?:env\.\w+|_secret)\(\s*"([A-Z_]+)"', settings)) | {"SECRET_KEY", "ENCRYPTION_KEYS", "LOOKUP_KEY"}
    table = (ROOT / "docs/operations.md").read_text().partition("## Settings")[2]

    assert len(read) > 20
    assert read - set(re.findall(r"`([A-Z_]+)`", table)) == set()
