"""The hot path: steps that nothing else is committed with."""

from __future__ import annotations

from sqlalchemy import Engine
from sqlalchemy.pool import StaticPool

from env.store.codec import step_columns
from env.store.model import Step
from env.store.store import INSERT_STEP, Store


class Journal:
    def __init__(self, engine: Engine, store: Store) -> None:
        self._engine = engine
        self._store = store
        # SQLite's one connection. A transaction's way through SQLAlchemy takes three times as long as the insert.
        self._sqlite = engine.raw_connection().driver_connection if isinstance(engine.pool, StaticPool) else None
        self._insert = str(INSERT_STEP.compile(dialect=engine.dialect))

    def append(self, session_id: str, step: Step) -> None:
        """Commits the step in a transaction of its own."""
        if self._sqlite is not None:
            self._sqlite.execute(self._insert, step_columns(session_id, step))
            return
        with self._engine.begin() as conn:
            self._store.add_step(conn, session_id, step)
