"""Fixtures for all tests."""

import pytest

from provisioning import guesses


@pytest.fixture(autouse=True)
def _no_source_is_limited():
    """What this process remembers of guessers does not outlive a test."""
    guesses.limited.clear()
    yield
    guesses.limited.clear()
