"""Who owns a database: one process at a time, whichever folders and options it was started with."""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import select
import socket
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, ExceptionContext, NullPool, create_engine, event, func, make_url, text
from sqlalchemy import select as sql_select
from sqlalchemy.exc import DBAPIError

from env.store.engine import network_options, sqlite_file
from env.store.outage import Loop, NotOwner, said
from env.store.postgres import be_answered_within

log = logging.getLogger("ringfence.store")

LOOK_S = 1.0
LEASE_ANSWER_S = 3.0
"""For the lock's connection, on which nothing is asked that takes time."""
LIMIT_S = 60.0
_LOST = "the lock on the database is lost, and not had again yet"
_LOCK_CLASS = 0x52464F57  # any constant number; the schema's own is the second half of the key
_HOLDER = text(
    "SELECT a.pid, a.application_name, a.client_addr::text AS address, a.backend_start AS since "
    "FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid "
    "WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.classid = :class AND l.objid = :key "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


class Lease:
    """The right to work on a database. This one is of a database that nobody else can reach, or that is only read."""

    loop: Loop | None = None
    """To be run by whoever holds a lease that can be lost."""

    def guard(self, engine: Engine, regained: Callable[[], None]) -> None:
        """Has the engine refuse transactions while the lease is lost. `regained` is called when it is back: somebody
        else may have written meanwhile.
        """

    def guard_connections(self, engine: Engine) -> None:
        """Has the engine refuse new connections at once while the lease is lost. To be called before anything else says
        how it is to connect.
        """

    def require(self) -> None:
        """Raises NotOwner while the lease is lost."""

    def served_at(self, address: str) -> None:
        """Tells whoever is refused the lease where the holder's service listens."""


NO_LEASE = Lease()


def take_lease(url: str) -> Lease:
    """The lease of a database, held until the process ends. Raises NotOwner, what SQLAlchemy raises for a URL that is
    none and for a server that does not answer, and OSError where a lock file cannot be made.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        return AdvisoryLease(parsed)
    file = sqlite_file(parsed)
    return Lease() if file is None else FileLease(file)


class FileLease(Lease):
    """A lock on a file beside a SQLite database. It goes with the process, however that ends."""

    def __init__(self, database: Path) -> None:
        database.parent.mkdir(parents=True, exist_ok=True)
        file = database.with_name(f"{database.name}.lock")
        self._lock = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        self._holder = {"host": socket.gethostname(), "pid": os.getpid(), "since": _now()}
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            told = os.pread(self._lock, 4096, 0)
            os.close(self._lock)
            raise NotOwner(f"the database {database} is in use by {_described(told)}") from None
        self._write()

    def served_at(self, address: str) -> None:
        self._holder["address"] = address
        self._write()

    def _write(self) -> None:
        told = json.dumps(self._holder).encode()
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, told, 0)


class AdvisoryLease(Lease):
    """An advisory lock of PostgreSQL's, on a connection of its own. It goes with that connection: when it breaks, no
    transaction begins until the lock is had again.
    """

    def __init__(self, url: URL) -> None:
        self._url = url
        self._name = f"ringfence {socket.gethostname()} pid {os.getpid()}"
        self._engine = create_engine(
            url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=network_options(url)
        )
        be_answered_within(self._engine, LEASE_ANSWER_S)
        self._regained: list[Callable[[], None]] = []
        self._readable = select.poll()
        self._connection: Connection | None = None
        self._hold(self._take())
        self.loop = Loop("holding the database", self._round, self._rest, LIMIT_S)

    def guard(self, engine: Engine, regained: Callable[[], None]) -> None:
        self._regained += [engine.dispose, regained]  # its other connections may be lost as well

        @event.listens_for(engine, "begin")
        def begin(_: Connection) -> None:
            if self._connection is None or not self._quiet():
                raise NotOwner(_LOST)

        @event.listens_for(engine, "handle_error")
        def failed(context: ExceptionContext) -> None:
            # The server may be away for this connection alone. But if it is frozen, to ask on the next one would hold
            # all calls up once more: whoever takes the lock again, in a thread of its own, finds out.
            if context.is_disconnect and self._connection is not None:
                log.warning("a connection to the database is lost: %s", context.original_exception)
                self._let_go()
                engine.dispose()

    def guard_connections(self, engine: Engine) -> None:
        @event.listens_for(engine, "do_connect")
        def connect(*_: object) -> None:
            self.require()

    def require(self) -> None:
        if self._connection is None:
            raise NotOwner(_LOST)

    def served_at(self, address: str) -> None:
        self._name = f"{self._name} {address}"
        if self._connection is not None:
            self._connection.execute(sql_select(func.set_config("application_name", self._name, False)))

    async def _round(self) -> None:
        if self._connection is not None and self._alive(self._connection):
            return
        self._let_go()
        # Connecting may take its time.
        self._hold(await asyncio.to_thread(self._take))
        log.warning("the lock on the database is had again")
        for call in self._regained:
            call()

    async def _rest(self) -> None:
        await asyncio.sleep(LOOK_S)

    def _take(self) -> Connection:
        connection = self._engine.connect()
        try:
            connection.execute(sql_select(func.set_config("application_name", self._name, False)))
            schema = connection.execute(sql_select(func.current_schema())).scalar()
            key = zlib.crc32(str(schema).encode()) & 0x7FFFFFFF
            if not connection.execute(sql_select(func.pg_try_advisory_lock(_LOCK_CLASS, key))).scalar_one():
                raise NotOwner(self._held_by(connection, key))
        except BaseException:
            connection.close()
            raise
        return connection

    def _held_by(self, connection: Connection, key: int) -> str:
        shown = self._url.render_as_string(hide_password=True)
        one = connection.execute(_HOLDER, {"class": _LOCK_CLASS, "key": key}).first()
        if one is None:
            return f"the database {shown} is in use by another process"
        since = "" if one.since is None else f", since {one.since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        via = f", connected from {one.address.partition('/')[0]}" if one.address else ""
        return f"the database {shown} is in use by {one.application_name or 'another process'}{via}{since}"

    def _hold(self, connection: Connection) -> None:
        self._connection = connection
        self._readable = select.poll()
        self._readable.register(_descriptor(connection), select.POLLIN)

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()

    def _quiet(self) -> bool:
        """Nothing comes on a connection that nothing is asked on, unless it ends: then the lock may be gone already."""
        if not self._readable.poll(0):
            return True
        assert self._connection is not None
        return self._alive(self._connection)

    def _alive(self, connection: Connection) -> bool:
        try:
            connection.execute(text("SELECT 1"))
        except DBAPIError as error:
            log.warning("the lock on the database is lost: %s", said(error))
            self._let_go()
            return False
        return True


def _descriptor(connection: Connection) -> int:
    driver = connection.connection.driver_connection
    assert driver is not None
    number: int = driver.fileno()
    return number


def _described(told: bytes) -> str:
    """Who says so in a lock file; nothing of it may be there yet."""
    try:
        holder = json.loads(told)
        address = f", serving at {holder['address']}" if "address" in holder else ""
        return f"process {holder['pid']} on {holder['host']}, since {holder['since']}{address}"
    except (ValueError, TypeError, KeyError):
        return "another process"


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
