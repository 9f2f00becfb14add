"""Every SQL statement about sessions and tests. Methods take an open connection: the caller owns the transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager
from typing import Any, cast

from sqlalchemy import Connection, Engine, and_, func, insert, select, update
from sqlalchemy.pool import StaticPool

from env.store.budget import Spent
from env.store.engine import READING
from env.store.model import Ending, Run, Series, Session, Status, Step, Submission, Test, Totals
from env.store.rows import (
    read_run,
    read_session,
    read_test,
    run_row,
    session_row,
    step_row,
    test_row,
)
from env.store.tables import runs, sessions, steps, task_versions, tests
from env.store.unfinished import UNFINISHED
from tasks.model import Task

_INSERT_STEP = insert(steps)


class Store:
    """The database of sessions and tests."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reading = engine.execution_options(**READING)
        self._tasks: dict[str, Task] = {}
        """By version, read once: the sessions of a task share it."""
        # SQLite's one connection, for the hot path: a transaction's way through SQLAlchemy takes three times as long
        # as the insert itself. What SQLAlchemy would do to the values, the columns' types do here as well.
        self._sqlite = engine.raw_connection().driver_connection if isinstance(engine.pool, StaticPool) else None
        self._insert_step = str(_INSERT_STEP.compile(dialect=engine.dialect))
        processors = {c.name: c.type.dialect_impl(engine.dialect).bind_processor(engine.dialect) for c in steps.columns}
        self._to_stored = [(name, process) for name, process in processors.items() if process is not None]

    def begin(self) -> AbstractContextManager[Connection]:
        """A transaction, committed at its end unless an exception leaves it."""
        return self._engine.begin()

    def read(self) -> AbstractContextManager[Connection]:
        """The same for what writes nothing: it waits for nobody's write lock."""
        return self._reading.begin()

    # --- sessions -----------------------------------------------------------------------------------------------

    def add_session(self, conn: Connection, session: Session) -> None:
        """Also keeps the task as it is now, if no session was opened on this version of it before."""
        version = session.task.version
        if conn.execute(select(task_versions.c.version).where(task_versions.c.version == version)).first() is None:
            row = {"version": version, "task_id": session.task.id, "definition": session.task.to_json()}
            conn.execute(insert(task_versions), row)
        conn.execute(insert(sessions), session_row(session))

    def session(self, conn: Connection, session_id: str) -> Session | None:
        """The session as it was opened; None where there is none of this id."""
        row = conn.execute(select(sessions).where(sessions.c.id == session_id)).first()
        return None if row is None else read_session(row, self.task(conn, row.task_version))

    def scales_in_use(self, conn: Connection, task_versions: Collection[str]) -> set[str]:
        """The scales at which there are sessions of these versions of tasks."""
        c = sessions.c
        found = select(c.scale).where(c.task_version.in_(task_versions), c.scale.is_not(None)).distinct()
        return {scale for scale in conn.execute(found).scalars() if scale is not None}

    def task(self, conn: Connection, version: str) -> Task:
        """The task as it was at a version of which there are sessions."""
        if version not in self._tasks:
            definition = select(task_versions.c.definition).where(task_versions.c.version == version)
            self._tasks[version] = Task.from_json(conn.execute(definition).scalar_one())
        return self._tasks[version]

    def submission(self, conn: Connection, session_id: str) -> Submission | None:
        """What the session submitted, or the service for it; None before."""
        columns = select(sessions.c.submitted_test, sessions.c.submitted_at)
        row = conn.execute(columns.where(sessions.c.id == session_id)).one()
        return None if row.submitted_test is None else Submission(test=row.submitted_test, at=row.submitted_at)

    def submit(self, conn: Connection, session_id: str, submission: Submission) -> None:
        chosen = update(sessions).values(submitted_test=submission.test, submitted_at=submission.at)
        conn.execute(chosen.where(sessions.c.id == session_id))

    def ending(self, conn: Connection, session_id: str) -> Ending | None:
        """How the service closed the session; None while it is open, and where its agent submitted."""
        columns = select(sessions.c.closed_at, sessions.c.closed_reason)
        row = conn.execute(columns.where(sessions.c.id == session_id)).one()
        return None if row.closed_at is None else Ending(at=row.closed_at, reason=row.closed_reason)

    def close(self, conn: Connection, session_id: str, ending: Ending) -> None:
        closed = update(sessions).values(closed_at=ending.at, closed_reason=ending.reason)
        conn.execute(closed.where(sessions.c.id == session_id))

    # --- steps --------------------------------------------------------------------------------------------------

    def append(self, session_id: str, step: Step) -> None:
        """Commits a step that nothing else is committed with, in a transaction of its own."""
        if self._sqlite is None:
            with self.begin() as conn:
                self.add_step(conn, session_id, step)
            return
        row = step_row(session_id, step)
        for name, process in self._to_stored:
            row[name] = process(row[name])
        self._sqlite.execute(self._insert_step, row)

    def add_step(self, conn: Connection, session_id: str, step: Step) -> None:
        conn.execute(_INSERT_STEP, step_row(session_id, step))

    def checks(self, conn: Connection, session_id: str) -> int:
        """How many rehearsals the session has had."""
        had = select(func.count()).where(steps.c.session_id == session_id, steps.c.tool == "check", steps.c.ok)
        return conn.execute(had).scalar_one()

    # --- tests --------------------------------------------------------------------------------------------------

    def add_test(self, conn: Connection, test: Test) -> None:
        number = select(func.coalesce(func.max(tests.c.number), 0) + 1).scalar_subquery()
        conn.execute(insert(tests).values(**test_row(test), number=number))

    def tests(self, conn: Connection, session_id: str) -> list[Test]:
        """The session's tests and probes with their runs, in the order they were bought."""
        return self._tests(conn, tests.c.session_id == session_id)

    def test(self, conn: Connection, session_id: str, n: int) -> Test | None:
        found = self._tests(conn, and_(tests.c.session_id == session_id, tests.c.n == n))
        return found[0] if found else None

    def test_keys(self, conn: Connection, session_id: str) -> list[int]:
        """The keys of the session's tests and probes, in the order they were bought."""
        found = select(tests.c.n).where(tests.c.session_id == session_id)
        return list(conn.execute(found.order_by(tests.c.number, tests.c.n)).scalars())

    def refunds(self, conn: Connection, session_id: str, but: int) -> list[Spent]:
        """Of the session's tests and probes without `but`: what the budget has to know, and nothing else."""
        found = select(tests.c.n, tests.c.refunded, tests.c.status, tests.c.gpu_s)
        of_it = (tests.c.session_id == session_id, tests.c.n != but)
        return list(cast("Iterable[Spent]", conn.execute(found.where(*of_it))))

    def _tests(self, conn: Connection, where: Any) -> list[Test]:
        found = conn.execute(select(tests).where(where).order_by(tests.c.number, tests.c.n)).all()
        joined = runs.join(tests, and_(runs.c.session_id == tests.c.session_id, runs.c.n == tests.c.n))
        by_test: dict[tuple[str, int], list[Run]] = defaultdict(list)
        for row in conn.execute(select(runs).select_from(joined).where(where).order_by(runs.c.position)):
            by_test[row.session_id, row.n].append(read_run(row))
        return [read_test(row, tuple(by_test[row.session_id, row.n])) for row in found]

    def series(self, conn: Connection, session_id: str, n: int) -> list[tuple[str, Series]]:
        """Each run's label and what it said of itself, in order."""
        where = and_(runs.c.session_id == session_id, runs.c.n == n)
        found = conn.execute(select(runs.c.label, runs.c.series).where(where).order_by(runs.c.position))
        return [(row.label, [(step, train, val) for step, train, val in row.series]) for row in found]

    def reported(self, conn: Connection, session_id: str, n: int) -> int:
        """How many characters the stored losses of a test take."""
        size = select(func.sum(func.length(runs.c.series))).where(runs.c.session_id == session_id, runs.c.n == n)
        return conn.execute(size).scalar() or 0

    def status(self, conn: Connection, session_id: str, n: int) -> Status | None:
        """None where there is no such test."""
        found = conn.execute(select(tests.c.status).where(tests.c.session_id == session_id, tests.c.n == n)).scalar()
        return None if found is None else Status(found)

    def set_running(self, conn: Connection, test: Test) -> None:
        assert test.started_at is not None
        self._update_test(
            conn,
            test,
            status=Status.RUNNING.value,
            started_at=test.started_at,
            devices=test.devices,
            runner=test.runner,
            data=test.data,
        )

    def request_cancel(self, conn: Connection, test: Test) -> None:
        self._update_test(conn, test, cancel_requested=True)

    def finish(self, conn: Connection, test: Test) -> None:
        """Writes the final status once; a test that is final already stays as it is."""
        assert test.status.final
        assert test.ended_at is not None
        self._update_test(
            conn,
            test,
            status=test.status.value,
            ended_at=test.ended_at,
            refunded=test.refunded,
            observation=test.observation,
            gpu_s=test.gpu_s,
        )

    def _update_test(self, conn: Connection, test: Test, **values: Any) -> None:
        changed = conn.execute(
            update(tests)
            .where(tests.c.session_id == test.session_id, tests.c.n == test.n, tests.c.status.in_(UNFINISHED))
            .values(**values)
        )
        assert changed.rowcount == 1, f"test {test.run_key} is final already"

    def add_run(self, conn: Connection, test: Test, run: Run) -> None:
        """Writes what came of a run once; one that is there already stays as it is."""
        if conn.execute(select(runs.c.run_id).where(runs.c.run_id == run.run_id)).first() is None:
            conn.execute(insert(runs), run_row(test, run))

    # --- for the operator ----------------------------------------------------------------------------------------

    def counts(self, conn: Connection) -> dict[str, int]:
        """Tests by status."""
        counted = conn.execute(select(tests.c.status, func.count()).group_by(tests.c.status))
        return {status: count for status, count in counted.tuples()}  # noqa: C416 - a cursor is no iterable of pairs

    def totals(self, conn: Connection) -> Totals:
        opened = select(func.count()).select_from(sessions)
        refunded = select(func.count()).select_from(tests).where(tests.c.refunded)
        return Totals(sessions=conn.execute(opened).scalar_one(), refunds=conn.execute(refunded).scalar_one())
