"""What only its owner may read."""

import os
import sqlite3

import pytest

from core.private_files import make_private, make_private_folder
from tests.support.web import manage


def modes(folder):
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}


def test_folders_that_are_made_are_private_and_others_stay_as_they_are(tmp_path):
    tmp_path.chmod(0o755)
    make_private_folder(tmp_path / "a/b")
    assert [path.stat().st_mode & 0o777 for path in (tmp_path, tmp_path / "a", tmp_path / "a/b")] == [0o755, 0o700, 0o700]


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_database_is_private_whatever_the_umask_and_its_mode_before(tmp_path, umask):
    database = tmp_path / "data/firstlight.sqlite3"
    make_private_folder(database.parent)
    before = os.umask(umask)
    try:
        with sqlite3.connect(database) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        connection.close()
        environment = os.environ | {"FIRSTLIGHT_DATA": str(database.parent), "DATABASE_URL": f"sqlite:///{database}"}
        manage(environment, "migrate", "--verbosity", "0")
    finally:
        os.umask(before)
    assert {name: mode & 0o077 for name, mode in modes(database.parent).items()} == dict.fromkeys(modes(database.parent), 0)


def test_file_that_is_not_there_is_no_error(tmp_path):
    make_private(tmp_path / "nothing")
