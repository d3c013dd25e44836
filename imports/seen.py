"""Names and credentials seen so far in a file, in bounded memory."""

import sqlite3
from collections.abc import Iterable, Mapping

from imports.row_parser import DeviceRow


class SeenRows:
    """A private SQLite database, which spills to a temporary file."""

    def __init__(self) -> None:
        # An import may move from thread to thread, but never runs in two at once.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for statement in (
            "PRAGMA journal_mode=OFF",
            "CREATE TABLE names (name TEXT PRIMARY KEY, line INTEGER NOT NULL) WITHOUT ROWID",
            "CREATE TABLE owners (credentials_id TEXT PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID",
        ):
            self._database.execute(statement)

    def repeated_names(self, rows: Iterable[DeviceRow]) -> dict[int, int]:
        """Record the names of `rows`. Returns, by line, the earlier line of each name that occurred before."""
        named = [(row.name, row.record.line) for row in rows if row.name]
        taken = self._database.executemany("INSERT INTO names VALUES (?, ?) ON CONFLICT (name) DO NOTHING", named).rowcount
        if taken == len(named):
            return {}
        select = "SELECT line FROM names WHERE name = ?"
        first = ((line, self._database.execute(select, (name,)).fetchone()[0]) for name, line in named)
        return {line: first_line for line, first_line in first if first_line != line}

    def take_owners(self, owners: Mapping[str, str]) -> None:
        """Record which device would own which credentials now, by credentials id; an empty name means none."""
        self._database.executemany("INSERT OR REPLACE INTO owners VALUES (?, ?)", owners.items())

    def owners(self, ids: Iterable[str]) -> dict[str, str]:
        """Return the owners that `take_owners` recorded for these ids."""
        select = "SELECT credentials_id, name FROM owners WHERE credentials_id = ?"
        return {key: name for one in ids for key, name in self._database.execute(select, (one,))}

    def close(self) -> None:
        self._database.close()
