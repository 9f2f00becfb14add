from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine, create_engine, event, inspect, select, text

from leaderboard import migrate, reading, writing
from leaderboard.choosing import known_boards
from leaderboard.model import Result
from leaderboard.table import TableQuery
from leaderboard.tables import metadata, result_values, results
from tests.support.processes import next_line, started

NEWEST = "0012"
TABLES = {"anchors", "results", "result_texts", "result_values", "board_columns", "boards", "submissions"}

SLOW_REVISION = """
import time
import sqlalchemy as sa
from alembic import op

revision = "slow"
down_revision = None


def upgrade():
    op.create_table("slow", sa.Column("id", sa.Integer, primary_key=True))
    time.sleep(0.5)
    op.execute("INSERT INTO slow VALUES (1)")
"""

SERVICE = """
import sys
from contextlib import ExitStack
from pathlib import Path
from sqlalchemy import create_engine
import alembic.command
from leaderboard import migrate

engine = create_engine("sqlite:///" + sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
with engine.connect() as connection:
    migrate.upgrade(connection, Path(sys.argv[2]), "alembic_version_slow")
    migrate.upgrade(connection, migrate.MIGRATIONS, migrate.VERSION_TABLE)
"""


def upgrade(connection: Connection) -> None:
    migrate.upgrade(connection, migrate.MIGRATIONS, migrate.VERSION_TABLE)


def versions(connection: Connection, table: str = migrate.VERSION_TABLE) -> list[str]:
    return list(connection.execute(text(f"SELECT version_num FROM {table}")).scalars())


def folder_with(tmp_path: Path, revision: str) -> Path:
    folder = tmp_path / "100% mine"
    (folder / "versions").mkdir(parents=True)
    (folder / "versions" / "0001_slow.py").write_text(revision)
    return folder


def test_an_empty_database_gets_the_schema_the_statements_expect(file_engine: Engine) -> None:
    with file_engine.connect() as connection:
        upgrade(connection)
    with file_engine.connect() as connection:
        assert set(inspect(connection).get_table_names()) == TABLES | {migrate.VERSION_TABLE}
        context = MigrationContext.configure(connection, opts={"version_table": migrate.VERSION_TABLE})
        assert compare_metadata(context, metadata) == []


def test_migrating_again_changes_nothing(file_engine: Engine) -> None:
    with file_engine.connect() as connection:
        upgrade(connection)
        before = connection.execute(text("SELECT sql FROM sqlite_master")).all()
        connection.rollback()
        upgrade(connection)
        assert connection.execute(text("SELECT sql FROM sqlite_master")).all() == before
        assert versions(connection) == [NEWEST]


def test_an_engine_that_begins_its_own_transactions_is_fine(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'board.db'}")

    @event.listens_for(engine, "connect")
    def leave_it_to_us(connection: object, _: object) -> None:
        connection.isolation_level = None  # type: ignore[attr-defined]

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    with engine.connect() as connection:
        upgrade(connection)
        upgrade(connection)
        assert versions(connection) == [NEWEST]
    engine.dispose()


OLD_RESULT = text(
    "INSERT INTO results (run_key, task_id, agent, session_id, test, status, scale, finished_at, task_version, "
    "code_sha256, duplicate_of) VALUES (:key, 'task', 'a', 's', :test, :status, 'smoke', :at, 'v1', 'c', :duplicate_of)"
)
OLD_TEXTS = text("INSERT INTO result_texts (run_key, record, code) VALUES (:key, :record, '{}')")
OLD_VALUE = text("INSERT INTO result_values VALUES (:key, :kind, :name, 0, :value)")


def history(tmp_path: Path, last: str) -> Path:
    """The revisions up to this one."""
    before = tmp_path / f"until-{last}"
    (before / "versions").mkdir(parents=True)
    for file in (migrate.MIGRATIONS / "versions").glob("0*.py"):
        if file.name[:4] <= last:
            shutil.copy(file, before / "versions")
    return before


def old_rows(connection: Connection, **records: tuple[str, str]) -> None:
    """Rows of one code with a loss and a score, by key their status and record, in that order of time."""
    for number, (key, (status, record)) in enumerate(records.items()):
        row = {"key": key, "test": number + 1, "status": status, "at": f"2026-11-03 12:00:0{number}.000000"}
        connection.execute(OLD_RESULT, row | {"duplicate_of": next(iter(records)) if number else None})
        connection.execute(OLD_TEXTS, {"key": key, "record": record})
        connection.execute(OLD_VALUE, {"key": key, "kind": "metric", "name": "val_loss_x", "value": 2.0})
        connection.execute(OLD_VALUE, {"key": key, "kind": "score", "name": "score", "value": 0.9})


def test_scores_that_what_failed_once_got_are_dropped(file_engine: Engine, tmp_path: Path) -> None:
    with file_engine.connect() as connection:
        migrate.upgrade(connection, history(tmp_path, "0006"), migrate.VERSION_TABLE)
        with connection.begin():
            old_rows(connection, a=("succeeded", "{}"), b=("cancelled", "{}"), c=("failed", "{}"))
        upgrade(connection)
        kept = select(result_values.c.run_key).where(result_values.c.kind == "score")
        assert connection.execute(kept).scalars().all() == ["a"]


def test_old_rows_stand_on_the_boards_that_new_ones_of_the_same_record_do(file_engine: Engine, tmp_path: Path) -> None:
    data = {"training": {"t": "1" * 64}, "held_out": {"h": "2" * 64, "i": "3" * 64}, "reserve": {}}
    records: dict[str, Any] = {
        "first": {"machine": {"runner": "docker", "image": "sha256:1"}, "data": data},
        "same": {"machine": {"runner": "docker", "image": "sha256:2"}, "data": data | {"reserve": {"r": "4" * 64}}},
        "other_data": {"machine": {"runner": "docker"}, "data": data | {"held_out": {"h": "5" * 64}}},
        "plain": {"machine": {"runner": "local"}, "data": data},
        "invented": {"machine": {"runner": "fake"}, "data": {"training": {"t": None}, "held_out": {"h": None}}},
        "bare": {},
        "odd": {"machine": "none", "data": {"training": None}},
    }
    with file_engine.connect() as connection:
        migrate.upgrade(connection, history(tmp_path, "0008"), migrate.VERSION_TABLE)
        with connection.begin():
            old_rows(connection, **{key: ("succeeded", json.dumps(record)) for key, record in records.items()})
        upgrade(connection)
        with connection.begin():
            rows = {row["run_key"]: dict(row) for row in connection.execute(select(results)).mappings()}
            known = known_boards(connection, "task")
            for key, record in records.items():
                entry = reading.entry(connection, key)
                assert entry is not None
                assert entry.result.record == record
                assert rows[key]["board"] == entry.result.board.id
                assert entry.result.board in {one.board for one in known}
                assert vars(entry.result.origin).items() - rows[key].items() == {("data", entry.result.board.data)}
            tables = [reading.rows(connection, "task", TableQuery(board=one.board.id, final=False)) for one in known]
    found = sorted([row["run_key"] for row in table.rows] for table in tables)
    assert found == [["bare", "odd"], ["first", "same"], ["invented"], ["other_data"], ["plain"]]
    cells = {row["run_key"]: row for table in tables for row in table.rows}
    assert {key: row["score"] for key, row in cells.items()} == dict.fromkeys(records, 0.9) | {"invented": None}
    assert {key: row["val_loss_x"] for key, row in cells.items()} == dict.fromkeys(records, 2.0)
    assert {key: row["duplicate_of"] for key, row in cells.items()} == dict.fromkeys(records) | {
        "same": "first",
        "odd": "bare",
    }
    assert [cells["bare"][name] for name in ("runner_class", "runner", "training_data")] == ["unknown", None, None]


def test_anchors_that_named_no_data_and_what_they_scored_stay(tmp_path: Path, file_engine: Engine) -> None:
    with file_engine.connect() as connection:
        migrate.upgrade(connection, history(tmp_path, "0010"), migrate.VERSION_TABLE)
        with connection.begin():
            connection.execute(text("INSERT INTO anchors VALUES ('v1', 'smoke', '{\"anchors\": []}')"))
            score = {"key": "s-1", "kind": "score", "name": "score", "value": 0.3}
            connection.execute(OLD_VALUE, score)
        upgrade(connection)
        assert connection.execute(text("SELECT task_version, scale, data, definition FROM anchors")).all() == [
            ("v1", "smoke", "", '{"anchors": []}')
        ]
        assert connection.execute(select(result_values.c.value)).scalars().all() == [0.3]


def test_two_histories_live_in_one_database(file_engine: Engine, tmp_path: Path) -> None:
    other = folder_with(tmp_path, SLOW_REVISION.replace("0.5", "0"))
    with file_engine.connect() as connection:
        upgrade(connection)
        migrate.upgrade(connection, other, "alembic_version_slow")
        assert (versions(connection), versions(connection, "alembic_version_slow")) == ([NEWEST], ["slow"])


def test_two_services_on_one_new_file_migrate_it_once(tmp_path: Path) -> None:
    file, folder = tmp_path / "board.db", folder_with(tmp_path, SLOW_REVISION)
    command = [sys.executable, "-c", SERVICE, str(file), str(folder)]
    with ExitStack() as ends:
        services = [ends.enter_context(started(command, stdin=subprocess.PIPE)) for _ in range(2)]
        for service in services:
            assert next_line(service) == "ready\n"
        for service in services:
            assert service.stdin is not None
            service.stdin.write("go\n")
            service.stdin.flush()
        errors = [service.communicate(timeout=60)[1] for service in services]
    assert [service.returncode for service in services] == [0, 0], errors
    engine = create_engine(f"sqlite:///{file}")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM slow")).scalar_one() == 1
        assert versions(connection) == [NEWEST]
    engine.dispose()


def test_a_database_of_a_newer_version_is_refused_untouched(file_engine: Engine) -> None:
    with file_engine.connect() as connection:
        upgrade(connection)
        with connection.begin():
            connection.execute(text(f"UPDATE {migrate.VERSION_TABLE} SET version_num = '0099'"))
        with pytest.raises(migrate.NewerDatabase) as refusal:
            upgrade(connection)
        known = migrate.revisions(migrate.MIGRATIONS)
        assert (known[0], known[-1]) == ("0001", NEWEST)
        assert (refusal.value.found, refusal.value.known) == (("0099",), known)
        assert "newer" in str(refusal.value)
        assert versions(connection) == ["0099"]


def test_a_migration_that_fails_leaves_no_trace(file_engine: Engine, tmp_path: Path) -> None:
    broken = folder_with(tmp_path, SLOW_REVISION.replace("INTO slow", "INTO nowhere").replace("0.5", "0"))
    with file_engine.connect() as connection:
        with pytest.raises(Exception, match="nowhere"):
            migrate.upgrade(connection, broken, "alembic_version_slow")
        assert inspect(connection).get_table_names() == []


def test_rows_from_before_there_were_labels_get_them(file_engine: Engine, tmp_path: Path) -> None:
    before = tmp_path / "before"
    (before / "versions").mkdir(parents=True)
    shutil.copy(migrate.MIGRATIONS / "versions" / "0001_results.py", before / "versions")
    insert = text(
        "INSERT INTO results (run_key, task_id, agent, session_id, test, status, scale, finished_at, task_version, "
        "record, code) VALUES (:key, 'task', 'a', 's', 1, 'succeeded', 'smoke', :at, 'v1', :record, :code)"
    )
    code, other = '{"a.py":"x = \\ud800\\n","b.py":""}', '{"a.py":"y"}'
    rows = [  # not in the order of time
        {"key": "late", "at": "2026-11-03 12:00:03.000000", "record": '{"template_unmodified":false}', "code": code},
        {"key": "first", "at": "2026-11-03 12:00:01.000000", "record": "{}", "code": code},
        {"key": "plain", "at": "2026-11-03 12:00:02.000000", "record": '{"template_unmodified":true}', "code": other},
    ]
    with file_engine.connect() as connection:
        migrate.upgrade(connection, before, migrate.VERSION_TABLE)
        with connection.begin():
            connection.execute(insert, rows)
            connection.execute(text("INSERT INTO submissions VALUES ('s', 'late', '2026-11-03 12:00:04.000000')"))
        upgrade(connection)
        with connection.begin():
            found = {row["key"]: reading.entry(connection, row["key"]) for row in rows}
    late, first, plain = found["late"], found["first"], found["plain"]
    assert late is not None
    assert first is not None
    assert plain is not None
    assert (late.duplicate_of, first.duplicate_of, plain.duplicate_of) == ("first", None, None)
    assert (late.is_final, late.auto_submitted, first.is_final) == (True, False, False)
    assert [entry.result.template_unmodified for entry in (late, first, plain)] == [False, False, True]
    assert late.result.code == {"a.py": "x = \ud800\n", "b.py": ""}
    assert plain.result.record == {"template_unmodified": True}
    with file_engine.connect() as connection, connection.begin():
        again = Result(**{**vars(late.result), "run_key": "new"})
        assert writing.record(connection, again)
        added = reading.entry(connection, "new")
    assert added is not None
    assert added.duplicate_of == "first"  # the hash is the one that the migration computed


def test_alembic_is_imported_only_to_migrate() -> None:
    code = (
        "import sys, leaderboard.migrate, leaderboard.reading, leaderboard.writing; sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
