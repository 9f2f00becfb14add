"""Reading beside the service's own thread, from the state that the database had when the reading began."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, NullPool, create_engine

from env.store.engine import network_options, sqlite_file


class Snapshots:
    """Connections of their own, which write nothing and hold nobody up."""

    def __init__(self, engine: Engine) -> None:
        arguments = {"check_same_thread": False} if engine.dialect.name == "sqlite" else network_options(engine.url)
        level = None if engine.dialect.name == "sqlite" else "REPEATABLE READ"
        options = {} if level is None else {"isolation_level": level}
        self._engine = create_engine(engine.url, poolclass=NullPool, connect_args=arguments, **options)

    @contextmanager
    def open(self) -> Iterator[Connection]:
        """One snapshot. Several threads may read from it, one after another."""
        with self._engine.connect() as connection:
            connection.exec_driver_sql(
                "BEGIN" if self._engine.dialect.name == "sqlite" else "SET TRANSACTION READ ONLY"
            )
            yield connection


def snapshots_of(engine: Engine) -> Snapshots | None:
    """None for a SQLite database in memory, which only its own connection can see."""
    return None if engine.dialect.name == "sqlite" and sqlite_file(engine.url) is None else Snapshots(engine)
