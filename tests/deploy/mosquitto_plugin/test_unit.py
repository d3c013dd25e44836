"""The parts of the plugin that need no broker: tests in C, under AddressSanitizer."""

import subprocess
from pathlib import Path


def test_the_unit_tests_in_c_pass(built_plugin: Path, tmp_path: Path):
    done = subprocess.run([built_plugin / "unit_tests", tmp_path], check=False, capture_output=True, text=True, timeout=120)

    assert done.returncode == 0, done.stderr
    assert " 0 not so" in done.stdout
