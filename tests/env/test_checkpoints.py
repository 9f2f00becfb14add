"""SQLite's log is emptied into the database while the service runs, not in the middle of somebody's commit."""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from tests.support.service import Serve


def test_committed_steps_reach_the_database_file_by_themselves(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    agent = server.open()
    for _ in range(3):
        assert agent.call("view").status_code == 200

    patience = time.monotonic() + 20
    while (found := _steps_without_the_log(server.state / "ringfence.db", tmp_path / "alone.db")) != 3:
        assert time.monotonic() < patience, f"{found} of 3 steps are in the database file"
        time.sleep(0.1)


def _steps_without_the_log(database: Path, copy: Path) -> int:
    shutil.copy(database, copy)
    with closing(sqlite3.connect(copy)) as connection:
        try:
            return int(connection.execute("SELECT count(*) FROM steps").fetchone()[0])
        except sqlite3.Error:  # copied in the middle of a change, or before the first one
            return -1
