from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, StaticPool, create_engine

from leaderboard import migrate, writing
from leaderboard.model import Result

START = datetime(2026, 11, 3, 12, 0, 0, tzinfo=UTC)
DATA = {"training": {"smoke/train": "a" * 64}, "held_out": {"smoke/heldout": "b" * 64}, "reserve": {}}
"""The digests in the record of a result."""


@pytest.fixture(scope="session")
def engine(new_database: Callable[[], str | None]) -> Iterator[Engine]:
    """One migrated database for all tests, by default in memory: each runs in a transaction that is rolled back."""
    url = new_database()
    engine = create_engine("sqlite://", poolclass=StaticPool) if url is None else create_engine(url)
    with engine.connect() as connection:
        migrate.upgrade(connection, migrate.MIGRATIONS, migrate.VERSION_TABLE)
    yield engine
    engine.dispose()


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN")
        yield connection
        connection.rollback()


@pytest.fixture
def file_engine(tmp_path: Path) -> Iterator[Engine]:
    """An engine on a database file that does not exist yet."""
    engine = create_engine(f"sqlite:///{tmp_path / 'board.db'}")
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def make_result() -> Callable[..., Result]:
    """`make_result(3, agent="x")`: the third test of session `s`, finished 3 s after the start, all else defaulted."""

    def make(test: int = 1, **fields: Any) -> Result:
        session_id = fields.get("session_id", "s")
        defaults: dict[str, Any] = {
            "run_key": f"{session_id}-{test}",
            "task_id": "task",
            "task_version": "v1",
            "agent": "agent",
            "session_id": session_id,
            "test": test,
            "status": "succeeded",
            "scale": "gpt-345m",
            "seed": 42,
            "finished_at": START + timedelta(seconds=test),
            "metrics": {"val_loss_gpt-345m": 2.3, "lambada_ppl_gpt-345m": 69.34},
            "elapsed": {"elapsed_gpt-345m": 20548.0},
            "record": {"data": DATA},
        }
        return Result(**defaults | fields)

    return make


@pytest.fixture
def add(connection: Connection, make_result: Callable[..., Result]) -> Callable[..., Result]:
    """Records `make_result(...)` and, with `submit=True`, submits it."""

    def add(test: int = 1, *, submit: bool = False, **fields: Any) -> Result:
        result = make_result(test, **fields)
        assert writing.record(connection, result)
        if submit:
            writing.submit(connection, result.session_id, result.run_key, START)
        return result

    return add
