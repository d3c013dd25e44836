"""The pinned packages are all that an installation needs, also where `make lock` did not run."""

import re
from importlib.metadata import requires

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.web import ROOT


def pinned(file: str) -> dict[str, str]:
    """Return the versions by name."""
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / file).read_text(), re.MULTILINE))


# 3.11.2 is Debian 12's. pip refuses what is not pinned, since hashes are required.
@pytest.mark.parametrize("python", ["3.11.0", "3.11.2", "3.11.9"])
def test_every_python_3_11_finds_its_packages_pinned(python: str):
    environment = {"python_full_version": python, "python_version": "3.11", "extra": ""}
    base, development = pinned("requirements.txt"), pinned("requirements-dev.txt")
    for names, file in ((base, "requirements.txt"), (development, "requirements-dev.txt")):
        assert names, file
        for name in names:
            for needed in map(Requirement, requires(name) or ()):
                if needed.marker is None or needed.marker.evaluate(environment):
                    wanted = canonicalize_name(needed.name)
                    version = base.get(wanted) or (development.get(wanted) if names is development else None)
                    assert version, f"{file}: {name} needs {needed}"
                    assert needed.specifier.contains(version, prereleases=True), f"{file}: {name} needs {needed}"
