"""Opening the database, SQLite (WAL) by default, PostgreSQL by URL; and moving what SQLite has logged into its file."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from sqlalchemy import Engine, NullPool, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry, StaticPool

from leaderboard import migrate

MIGRATIONS = Path(__file__).parent / "migrations"
VERSION_TABLE = "alembic_version_env"
CHECKPOINT_S = 0.25

log = logging.getLogger("ringfence.store")


def open_database(url: str) -> Engine:
    """An engine on an up-to-date schema. The service's one thread is the only user of it."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = _sqlite(url, parsed.database)
    else:
        engine = create_engine(url, pool_pre_ping=True)
    with engine.connect() as connection:
        migrate.upgrade(connection, MIGRATIONS, VERSION_TABLE)
        migrate.upgrade(connection, migrate.MIGRATIONS, migrate.VERSION_TABLE)
    return engine


def _sqlite(url: str, file: str | None) -> Engine:
    if file and file != ":memory:":
        Path(file).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False}, paramstyle="named")

    @event.listens_for(engine, "connect")
    def configure(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        # The driver's own transaction handling is switched off, so that BEGIN below is ours.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        # A commit survives the death of the process at any moment; a power cut may cost the last ones.
        cursor.execute("PRAGMA synchronous=NORMAL")
        # In pages. Only what the checkpoints beside us did not get done under load is left for a commit to do.
        cursor.execute("PRAGMA wal_autocheckpoint=20000")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA busy_timeout=10000")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection) -> None:  # type: ignore[no-untyped-def]
        # Takes the write lock at once: a transaction that read before it writes can't lose a race.
        connection.connection.driver_connection.execute("BEGIN IMMEDIATE")

    return engine


class Checkpoints:
    """Moves what SQLite has logged into the database file, beside the service's own thread.

    Without it every 200th edit or so would do so inside its commit, and all callers would wait for the disk.
    """

    def __init__(self, engine: Engine) -> None:
        self._needed = engine.dialect.name == "sqlite" and engine.url.database not in (None, "", ":memory:")
        self._engine = create_engine(engine.url, poolclass=NullPool) if self._needed else engine

    async def run(self) -> None:
        """Runs until cancelled."""
        while self._needed:
            await asyncio.sleep(CHECKPOINT_S)
            await asyncio.to_thread(self._checkpoint)

    def _checkpoint(self) -> None:
        try:
            with self._engine.connect() as connection:
                # PASSIVE neither waits for the service's transactions nor holds them up.
                connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")
        except DBAPIError as error:
            log.warning("checkpoint of the database put off: %s", error)  # the log keeps what it could not move
