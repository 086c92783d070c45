"""The ids of images that are done: a set that may be larger than memory."""

import sqlite3
from collections.abc import Iterable


class Ledger:
    """Ids seen so far, in a temporary SQLite file; memory holds a cache of 64 MB.

    A Python set of ten million paths takes about 1.5 GB.
    """

    def __init__(self) -> None:
        # "" is a private database on disk; nothing in it has to survive, so nothing is synced.
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute("PRAGMA cache_size = -65536")
        self._db.execute("CREATE TABLE seen (id TEXT PRIMARY KEY, owner INT) WITHOUT ROWID")
        self._db.execute("BEGIN")

    def add(self, name: str) -> bool:
        """Note an id; whether it is new."""
        cursor = self._db.execute("INSERT OR IGNORE INTO seen VALUES (?, NULL)", (name,))
        return cursor.rowcount == 1

    def claim(self, name: str, owner: int) -> bool:
        """Note an id for an owner; whether it is new, or has been that owner's."""
        self._db.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (name, owner))
        (found,) = self._db.execute("SELECT owner FROM seen WHERE id = ?", (name,)).fetchone()
        return bool(found == owner)

    def add_all(self, names: Iterable[str]) -> None:
        """Note many ids."""
        self._db.executemany(
            "INSERT OR IGNORE INTO seen VALUES (?, NULL)", ((name,) for name in names)
        )

    def close(self) -> None:
        self._db.close()
