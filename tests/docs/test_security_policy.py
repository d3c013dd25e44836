"""SECURITY.md: each promise names a test that exists."""

import re

from tests.docs.test_citations import ROOT

POLICY = (ROOT / "SECURITY.md").read_text()
PROMISES = POLICY.partition("## What Firstlight protects, and how")[2].partition("\n## ")[0].split("\n- ")[1:]
TESTS = re.compile(r"`(tests/[\w/]+\.py)`")


def test_each_promise_names_tests_that_exist():
    assert len(PROMISES) > 15
    assert [promise.splitlines()[0] for promise in PROMISES if not TESTS.search(promise)] == []
    assert [name for name in TESTS.findall(POLICY) if "def test_" not in _text(name)] == []


def _text(name: str) -> str:
    path = ROOT / name
    return path.read_text() if path.is_file() else ""
