"""Opening the database, SQLite (WAL) by default, PostgreSQL by URL; and moving what SQLite has logged into its file."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, StaticPool

from env.store.outage import Loop
from env.store.postgres import ANSWER_S, be_answered_within
from leaderboard import migrate

MIGRATIONS = Path(__file__).parent / "migrations"
VERSION_TABLE = "alembic_version_env"
CHECKPOINT_S = 0.25
CHECKPOINT_LIMIT_S = 60.0
START_PATIENCE_S = 10.0
"""For somebody else's lock on a SQLite file while the service starts."""
PATIENCE_S = 0.5
"""The same while it serves: all calls wait with the one that meets the lock."""
READING = {"reading": True}
"""Execution options of a connection whose transactions write nothing."""
_NETWORK = {
    "connect_timeout": 3,  # seconds
    "keepalives_idle": 10,  # seconds
    "keepalives_interval": 5,  # seconds
    "keepalives_count": 3,
    "tcp_user_timeout": 15000,  # milliseconds
}
"""So that a server that has vanished without a word is noticed to be away."""


def open_database(url: str, guard_connections: Callable[[Engine], None] = lambda _: None) -> Engine:
    """An engine on an up-to-date schema. The service's one thread is the only user of it. `guard_connections` may have
    a PostgreSQL engine refuse connections.
    """
    parsed = make_url(url)
    sqlite = parsed.get_backend_name() == "sqlite"
    if sqlite:
        engine = _sqlite(url, sqlite_file(parsed))
    else:
        engine = create_engine(url, pool_pre_ping=True, connect_args=network_options(parsed))
    # Migrations take what they take; and on PostgreSQL their connection is not kept.
    migrating = engine if sqlite else create_engine(url, poolclass=NullPool, connect_args=network_options(parsed))
    with migrating.connect() as connection:
        migrate.upgrade(connection, migrate.MIGRATIONS, migrate.VERSION_TABLE)
        migrate.upgrade(connection, MIGRATIONS, VERSION_TABLE)  # takes what tests ran with from their results
        if sqlite:
            _wait_for_locks(connection, PATIENCE_S)
    if not sqlite:
        guard_connections(engine)
        be_answered_within(engine, ANSWER_S)
    return engine


def sqlite_file(url: URL) -> Path | None:
    """The file of a SQLite database that may be written; None for one in memory, one that is only read, and others."""
    if url.get_backend_name() != "sqlite":
        return None
    name = url.database or ""
    options = {key: values[-1] for key, values in parse_qs(name.partition("?")[2]).items()} | dict(url.query)
    if name in ("", ":memory:") or name.startswith("file::memory:") or options.get("mode") in ("memory", "ro"):
        return None
    return Path(name.removeprefix("file:").partition("?")[0]).resolve()


def network_options(url: URL) -> dict[str, int]:
    """For the driver: how long it waits for a PostgreSQL server, as far as the URL does not say."""
    if not url.get_driver_name().startswith("psycopg"):
        return {}
    return {name: value for name, value in _NETWORK.items() if name not in url.query}


def _sqlite(url: str, file: Path | None) -> Engine:
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
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
        cursor.execute(f"PRAGMA busy_timeout={START_PATIENCE_S * 1000:.0f}")
        cursor.close()

    waits = True

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        nonlocal waits
        if connection.get_execution_options().get("reading"):
            _driver(connection).execute("BEGIN")
            return
        try:
            # Takes the write lock at once: a transaction that read before it writes can't lose a race.
            _driver(connection).execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            if waits:  # in vain: until somebody gets the lock again, nobody else holds all others up for it
                waits = False
                _wait_for_locks(connection, 0)
            raise
        if not waits:
            waits = True
            _wait_for_locks(connection, PATIENCE_S)

    return engine


def _driver(connection: Connection) -> sqlite3.Connection:
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


def _wait_for_locks(connection: Connection, seconds: float) -> None:
    _driver(connection).execute(f"PRAGMA busy_timeout={seconds * 1000:.0f}")


class Checkpoints:
    """Moves what SQLite has logged into the database file, beside the service's own thread.

    Without it every 200th edit or so would do so inside its commit, and all callers would wait for the disk.
    """

    def __init__(self, engine: Engine) -> None:
        self.needed = sqlite_file(engine.url) is not None
        self._engine = create_engine(engine.url, poolclass=NullPool) if self.needed else engine
        self.loop = Loop("moving SQLite's log into its file", self._round, self._rest, CHECKPOINT_LIMIT_S)

    async def _round(self) -> None:
        await asyncio.to_thread(self._checkpoint)

    async def _rest(self) -> None:
        await asyncio.sleep(CHECKPOINT_S)

    def _checkpoint(self) -> None:
        with self._engine.connect() as connection:
            # PASSIVE neither waits for the service's transactions nor holds them up.
            connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")
