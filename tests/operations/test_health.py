"""What /readyz says beside the processes."""

import shutil
from types import SimpleNamespace

import pytest


@pytest.mark.django_db
@pytest.mark.parametrize(("free_mib", "named"), [(10, True), (1_000, False)])
def test_disk_that_is_nearly_full_is_named(client, monkeypatch, free_mib, named):
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: SimpleNamespace(free=free_mib * 2**20))
    states = client.get("/readyz").json()["processes"]
    assert ("disk" in states) == named
    if named:
        assert states["disk"].startswith("nearly full: 10 MiB left")
