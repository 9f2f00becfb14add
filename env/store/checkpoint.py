"""Moves what SQLite has logged into the database file, beside the service's own thread."""

from __future__ import annotations

import asyncio
import logging

from sqlalchemy import Engine, NullPool, create_engine
from sqlalchemy.exc import DBAPIError

log = logging.getLogger("ringfence.store")

INTERVAL_S = 0.25


class Checkpoints:
    """Otherwise every 200th edit or so would do it inside its commit, and all callers would wait for the disk."""

    def __init__(self, engine: Engine) -> None:
        self._needed = engine.dialect.name == "sqlite" and engine.url.database not in (None, "", ":memory:")
        self._engine = create_engine(engine.url, poolclass=NullPool) if self._needed else engine

    async def run(self) -> None:
        """Runs until cancelled."""
        while self._needed:
            await asyncio.sleep(INTERVAL_S)
            await asyncio.to_thread(self._checkpoint)

    def _checkpoint(self) -> None:
        try:
            with self._engine.connect() as connection:
                # PASSIVE neither waits for the service's transactions nor holds them up.
                connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")
        except DBAPIError as error:
            log.warning("checkpoint of the database put off: %s", error)  # the log keeps what it could not move
