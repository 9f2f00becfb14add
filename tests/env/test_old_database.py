"""A database that an earlier version wrote is read as it was meant, and what is read would be written the same again.

`old_database/2026-01.sql` is the dump of a service with invented results: three agents and a baseline played a small
task until there was a test of every kind; the service closed two of the sessions.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine

from env.store import trajectory
from env.store.budget import tests_left as left
from env.store.engine import VERSION_TABLE, open_database
from env.store.model import Ending, Session, Submission
from env.store.store import Store
from env.store.tables import metadata
from env.store.unfinished import unfinished
from leaderboard import reading
from leaderboard.table import TableQuery

DUMP = Path(__file__).parent / "old_database" / "2026-01.sql"
ONE, TWO, THREE = "db177fd1f6770baf", "5165f94d9188f623", "d2f2b1d448c41cf9"
START = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Engine]:
    file = tmp_path / "old.db"
    connection = sqlite3.connect(file)
    connection.executescript(DUMP.read_text(encoding="utf-8"))
    connection.close()
    engine = open_database(f"sqlite:///{file}")
    yield engine
    engine.dispose()


@pytest.fixture
def new(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(f"sqlite:///{tmp_path / 'new.db'}")
    yield engine
    engine.dispose()


def stored(engine: Engine, table: str, without: str = "") -> list[dict[str, Any]]:
    """A table's rows as the database holds them, with their columns' storage classes."""
    with engine.begin() as conn:
        found = conn.exec_driver_sql(f"SELECT * FROM {table}").mappings().all()
    return sorted(({name: value for name, value in row.items() if name != without} for row in found), key=repr)


def session_ids(engine: Engine) -> list[str]:
    with engine.begin() as conn:
        return [row[0] for row in conn.exec_driver_sql("SELECT id FROM sessions ORDER BY created_at")]


def test_sessions_and_their_ends_are_read(old: Engine) -> None:
    store = Store(old)
    one, two, baseline, three = session_ids(old)
    assert (one, two, three) == (ONE, TWO, THREE)
    with store.begin() as conn:
        session = store.session(conn, ONE)
        assert session is not None
        assert (session.agent, session.scale, session.seed) == ("agent one", "tiny", None)
        assert session.metadata == {"note": "naïve \ud800 \x00 text", "deep": [1, {"x": None}], "f": 0.1}
        assert session.created_at == START + timedelta(seconds=3, milliseconds=123)
        assert store.submission(conn, ONE) == Submission(test=1, at=START + timedelta(seconds=37, milliseconds=623))
        assert store.ending(conn, ONE) is None
        ending = store.ending(conn, TWO)
        assert isinstance(ending, Ending)
        assert ending.reason == "no call came for 24 h"
        assert ending.at.tzinfo is UTC
        of_baseline = store.session(conn, baseline)
        assert isinstance(of_baseline, Session)
        assert (of_baseline.size.seed, of_baseline.size.settings["SEED"]) == (7, "7")


def test_steps_are_read(old: Engine) -> None:
    store = Store(old)
    with store.begin() as conn:
        steps = list(trajectory.each_step(conn, ONE))
        changes = trajectory.changes(conn, ONE)
        states = trajectory.states(conn, ONE, [3])
    assert [step.tool for step in steps[:4]] == ["view", "edit", "edit", "undo"]
    assert (steps[1].ok, steps[1].code, steps[1].editables) == (False, "not_found", None)
    assert steps[2].input == {"start_line": 2, "end_line": 3, "content": "é = 'ü'"}
    assert steps[2].editables == {"pkg/custom.py": (("é = 'ü'",),)}
    assert changes[:2] == [trajectory.Change(3, 0), trajectory.Change(4, 1)]
    assert states == {3: {"pkg/custom.py": (("é = 'ü'",),)}}
    assert steps[0].at == START + timedelta(seconds=4, milliseconds=623)


def test_tests_and_runs_are_read(old: Engine) -> None:
    store = Store(old)
    with store.begin() as conn:
        first, rejected, diverged = store.tests(conn, ONE)
        others = store.tests(conn, TWO)
        session = store.session(conn, TWO)
        waiting = unfinished(conn)
        totals = store.totals(conn)
    assert [test.status for test in (first, rejected, diverged)] == ["succeeded", "rejected", "diverged"]
    assert [(test.status, test.refunded) for test in others] == [
        ("failed", False),
        ("infra_failed", True),
        ("cancelled", True),
    ]
    assert session is not None
    assert left(session, others) == 2
    assert [(test.session_id, test.n) for test in waiting] == [(THREE, 1)]
    assert (totals.sessions, totals.refunds) == (4, 2)
    assert [(run.position, run.run_id) for run in first.runs] == [(0, f"{ONE}-1-0-0"), (1, f"{ONE}-1-1-0")]
    assert first.devices == ("slot-0",)
    assert first.files == {"pkg/custom.py": "# A script\nA = 1\nB = 2\n# one\nprint(A)\n"}
    assert first.runs[1].metrics["val_loss"] > 0
    evaluation = rejected.runs[1].evaluation
    assert evaluation is not None
    assert [(audit.name, audit.figure) for audit in evaluation.failed] == [("commitment", 0.75)]
    assert any(math.isnan(point.val_loss) for point in diverged.runs[0].series)


def test_the_leaderboard_is_read(old: Engine) -> None:
    with old.begin() as conn:
        rows = reading.rows(conn, "tiny", TableQuery(final=False)).rows
    assert sorted(row["status"] for row in rows) == ["diverged", "failed", "rejected", "succeeded"]
    assert [row["run_key"] for row in rows if row["is_final"]] == [f"{ONE}-1"]


def test_what_was_read_is_written_the_same_again(old: Engine, new: Engine) -> None:
    before, after = Store(old), Store(new)
    for number, session_id in enumerate(session_ids(old)):
        with before.begin() as read, after.begin() as write:
            session = before.session(read, session_id)
            assert session is not None
            after.add_session(write, session)
            submission, ending = before.submission(read, session_id), before.ending(read, session_id)
            if submission is not None:
                after.submit(write, session_id, submission)
            if ending is not None:
                after.close(write, session_id, ending)
            for test in before.tests(read, session_id):
                after.add_test(write, test)
                for run in test.runs:
                    after.add_run(write, test, run)
            steps = list(trajectory.each_step(read, session_id))
            if number % 2:
                for step in steps:
                    after.add_step(write, session_id, step)
        if number % 2 == 0:
            for step in steps:
                after.append(session_id, step)
    for table in ("task_versions", "sessions", "steps", "tests"):
        assert stored(new, table) == stored(old, table)
    assert stored(new, "runs", without="evaluation") == stored(old, "runs", without="evaluation")
    with before.begin() as read, after.begin() as write:
        assert repr(before.tests(read, ONE)) == repr(after.tests(write, ONE))


def test_the_migrations_build_what_the_statements_expect(new: Engine) -> None:
    with new.connect() as connection:
        names = {"version_table": VERSION_TABLE, "include_object": lambda _object, name, *_: name in known}
        known = {*metadata.tables} | {index.name for table in metadata.tables.values() for index in table.indexes}
        context = MigrationContext.configure(connection, opts=names)
        assert compare_metadata(context, metadata) == []
