"""PostgreSQL that does not answer: how long a call waits for it, and what it is told meanwhile."""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, event

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.abc import RV, PQGen

ANSWER_S = 4.0
"""For one answer on the service's own thread, on which all calls wait with it."""
READING_S = 60.0
"""For one answer beside it: a table of all results may take its time."""
LOCK_S = 0.5
"""For a row or a table that somebody else has locked."""


def be_answered_within(engine: Engine, seconds: float) -> None:
    """Has every new connection of a PostgreSQL engine give up on an answer after so many seconds. It is closed then,
    and what was asked raises OperationalError.

    The server is told to end what takes as long; but one that is frozen, or was cut off, tells nobody anything. To be
    called before the engine connects.
    """

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: object, _record: object, positional: Any, named: dict[str, Any]) -> Connection:
        connection: Connection = _patient().connect(*positional, **named)
        connection.answer_s = seconds  # type: ignore[attr-defined]
        limits = f"SET lock_timeout = {LOCK_S * 1000:.0f}; SET statement_timeout = {seconds * 900:.0f}"
        connection.execute(limits)
        connection.commit()
        return connection


@cache
def _patient() -> Any:
    """The class of such connections. Made when it is needed: the driver is installed only where it is used."""
    import psycopg

    class PatientConnection(psycopg.Connection[Any]):
        answer_s = ANSWER_S

        def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
            limit = self.answer_s if timeout is None else timeout
            deadline = time.monotonic() + limit
            try:
                return super().wait(gen, interval, limit)
            except psycopg.OperationalError as error:
                if timeout is not None or time.monotonic() < deadline or error.sqlstate is not None:
                    raise
                self.pgconn.finish()  # whatever comes on it later is the answer to something else
                raise psycopg.OperationalError(f"no answer came within {limit:g} s") from None

    return PatientConnection
