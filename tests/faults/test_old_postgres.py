"""A PostgreSQL database of an earlier version is brought up to date as a SQLite file is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import NullPool, create_engine, text

from env.store import engine as store
from env.store.engine import open_database
from env.store.store import Store
from leaderboard import migrate, reading
from leaderboard.table import TableQuery

if TYPE_CHECKING:
    from tests.support.postgres import Postgres


def history(folder: Path, migrations: Path, last: str) -> Path:
    """The revisions up to this one."""
    (folder / "versions").mkdir(parents=True)
    for file in (migrations / "versions").glob("0*.py"):
        if file.name[:4] <= last:
            shutil.copy(file, folder / "versions")
    return folder


def test_results_and_tests_from_before_there_were_boards_are_placed(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.create()
    old = create_engine(url, poolclass=NullPool)
    with old.connect() as connection:
        for name, migrations, table in (
            ("env", store.MIGRATIONS, store.VERSION_TABLE),
            ("leaderboard", migrate.MIGRATIONS, migrate.VERSION_TABLE),
        ):
            migrate.upgrade(connection, history(tmp_path / name, migrations, "0008"), table)
        with connection.begin():
            for n, record in enumerate(({"machine": {"runner": "fake"}}, {}), 1):
                row = {"key": f"s-{n}", "n": n, "record": json.dumps(record)}
                for statement in (
                    "INSERT INTO results (run_key, task_id, agent, session_id, test, status, scale, finished_at, "
                    "task_version, code_sha256) VALUES (:key, 'task', 'a', 's', :n, 'succeeded', 'smoke', "
                    "'2026-11-03 12:00:00Z', 'v1', 'c')",
                    "INSERT INTO result_texts (run_key, record, code) VALUES (:key, :record, '{}')",
                    "INSERT INTO result_values VALUES (:key, 'metric', 'val_loss_x', 0, 2.0)",
                    "INSERT INTO result_values VALUES (:key, 'score', 'score', 0, 0.9)",
                ):
                    connection.execute(text(statement), row)
            connection.execute(text("INSERT INTO task_versions VALUES ('v1', 'task', '{}')"))
            connection.execute(
                text(
                    "INSERT INTO sessions (id, task_version, agent, metadata, token_sha256, created_at) "
                    "VALUES ('s', 'v1', 'a', '{}', '', '2026-11-03T12:00:00.000Z')"
                )
            )
            for n in (1, 2):
                connection.execute(
                    text(
                        "INSERT INTO tests (session_id, n, status, files, created_at, cancel_requested, refunded, "
                        "devices) VALUES ('s', :n, 'succeeded', '{}', '2026-11-03T12:00:00.000Z', false, false, '[]')"
                    ),
                    {"n": n},
                )
    old.dispose()
    engine = open_database(url)
    with Store(engine).begin() as connection:
        assert [test.runner for test in Store(engine).tests(connection, "s")] == ["fake", None]
        entries = [reading.entry(connection, f"s-{n}") for n in (1, 2)]
        boards = [entry.result.board for entry in entries if entry is not None]
        tables = [reading.rows(connection, "task", TableQuery(board=one.id, final=False)) for one in boards]
    assert [[(row["run_key"], row["runner_class"], row["score"]) for row in table.rows] for table in tables] == [
        [("s-1", "fake", None)],
        [("s-2", "unknown", 0.9)],
    ]
    engine.dispose()
