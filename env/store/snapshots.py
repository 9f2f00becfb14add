"""Reading beside the service's own thread, from the state that the database had when the reading began."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, NullPool, create_engine

from env.store.engine import network_options, sqlite_file
from env.store.lease import NO_LEASE, Lease
from env.store.postgres import READING_S, be_answered_within

P = ParamSpec("P")
R = TypeVar("R")

READERS = 1
"""Long reads at once in this process: each takes its share of the one interpreter."""


class Snapshots:
    """Connections of their own, which write nothing and hold nobody up.

    A SQLite database in memory can be seen by one connection only: there, reading takes place between calls.
    """

    def __init__(self, engine: Engine, lease: Lease = NO_LEASE) -> None:
        sqlite = engine.dialect.name == "sqlite"
        self.apart = not sqlite or sqlite_file(engine.url) is not None
        """Whether reading holds up no call."""
        self._begin = "BEGIN" if sqlite else "SET TRANSACTION READ ONLY"
        self._engine = engine
        self._room = asyncio.Semaphore(READERS)
        if self.apart:
            arguments = {"check_same_thread": False} if sqlite else network_options(engine.url)
            options = {} if sqlite else {"isolation_level": "REPEATABLE READ"}
            self._engine = create_engine(engine.url, poolclass=NullPool, connect_args=arguments, **options)
            if not sqlite:
                lease.guard_connections(self._engine)
                be_answered_within(self._engine, READING_S)

    @contextmanager
    def open(self) -> Iterator[Connection]:
        """One snapshot. Several threads may read from it, one after another."""
        if not self.apart:
            with self._engine.begin() as connection:
                yield connection
            return
        with self._engine.connect() as connection:
            connection.exec_driver_sql(self._begin)
            yield connection

    async def beside(self, read: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
        """What `read`, which touches nothing but snapshots and its own arguments, returns: from a thread of its own."""
        if not self.apart:
            return read(*arguments, **named)
        async with self._room:
            return await asyncio.to_thread(read, *arguments, **named)
