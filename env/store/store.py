"""Every SQL statement about sessions and tests. Methods take an open connection: the caller owns the transaction."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

from sqlalchemy import Connection, RowMapping, and_, func, insert, select, update

from env.store.codec import (
    Series,
    dump,
    read_editables,
    read_run,
    read_series,
    read_session,
    read_step,
    read_test,
    read_time,
    run_columns,
    step_columns,
    time_text,
)
from env.store.model import Editables, Ending, Run, Session, Status, Step, Submission, Test
from env.store.tables import answers, runs, sessions, steps, task_versions, tests
from tasks.model import Task

INSERT_STEP = insert(steps)
_UNFINISHED = (Status.QUEUED.value, Status.RUNNING.value)


class Totals(NamedTuple):
    sessions: int
    refunds: int


class Store:
    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}
        """By version, read once: the sessions of a task share it."""

    # --- sessions -----------------------------------------------------------------------------------------------

    def add_session(self, conn: Connection, session: Session) -> None:
        version = session.task.version
        if conn.execute(select(task_versions.c.version).where(task_versions.c.version == version)).first() is None:
            conn.execute(
                insert(task_versions).values(
                    version=version, task_id=session.task.id, definition=session.task.to_json()
                )
            )
        conn.execute(
            insert(sessions).values(
                id=session.id,
                task_version=version,
                agent=session.agent,
                scale=session.scale,
                metadata=dump(session.metadata),
                token_sha256=session.token_sha256,
                created_at=time_text(session.created_at),
                seed=session.seed,
            )
        )

    def session(self, conn: Connection, session_id: str) -> Session | None:
        row = conn.execute(select(sessions).where(sessions.c.id == session_id)).first()
        if row is None:
            return None
        return read_session(row, self._task(conn, row.task_version))

    def _task(self, conn: Connection, version: str) -> Task:
        if version not in self._tasks:
            where = task_versions.c.version == version
            self._tasks[version] = Task.from_json(
                conn.execute(select(task_versions.c.definition).where(where)).scalar_one()
            )
        return self._tasks[version]

    def submission(self, conn: Connection, session_id: str) -> Submission | None:
        row = conn.execute(
            select(sessions.c.submitted_test, sessions.c.submitted_at).where(sessions.c.id == session_id)
        ).one()
        return None if row.submitted_test is None else Submission(row.submitted_test, read_time(row.submitted_at))

    def submit(self, conn: Connection, session_id: str, submission: Submission) -> None:
        conn.execute(
            update(sessions)
            .where(sessions.c.id == session_id)
            .values(submitted_test=submission.test, submitted_at=time_text(submission.at))
        )

    def ending(self, conn: Connection, session_id: str) -> Ending | None:
        """None while it is open, and where its agent submitted."""
        columns = select(sessions.c.closed_at, sessions.c.closed_reason)
        row = conn.execute(columns.where(sessions.c.id == session_id)).one()
        return None if row.closed_at is None else Ending(read_time(row.closed_at), row.closed_reason)

    def close(self, conn: Connection, session_id: str, ending: Ending) -> None:
        conn.execute(
            update(sessions)
            .where(sessions.c.id == session_id)
            .values(closed_at=time_text(ending.at), closed_reason=ending.reason)
        )

    # --- steps --------------------------------------------------------------------------------------------------

    def add_step(self, conn: Connection, session_id: str, step: Step) -> None:
        conn.execute(INSERT_STEP, step_columns(session_id, step))

    def steps(self, conn: Connection, session_id: str) -> list[Step]:
        rows = conn.execute(select(steps).where(steps.c.session_id == session_id).order_by(steps.c.seq))
        return [read_step(row) for row in rows]

    def last_seq(self, conn: Connection, session_id: str) -> int:
        return conn.execute(select(func.max(steps.c.seq)).where(steps.c.session_id == session_id)).scalar() or 0

    def checks(self, conn: Connection, session_id: str) -> int:
        """How many rehearsals the session has had."""
        had = select(func.count()).where(steps.c.session_id == session_id, steps.c.tool == "check", steps.c.ok)
        return conn.execute(had).scalar_one()

    def changes(self, conn: Connection, session_id: str) -> list[tuple[Editables | None, int]]:
        """The steps that changed the files, in order: the state after an edit, or how many edits an undo took back."""
        rows = conn.execute(
            select(steps.c.editables, steps.c.undone)
            .where(steps.c.session_id == session_id, steps.c.editables.is_not(None) | (steps.c.undone > 0))
            .order_by(steps.c.seq)
        )
        return [(None if row.editables is None else read_editables(row.editables), row.undone) for row in rows]

    # --- tests --------------------------------------------------------------------------------------------------

    def add_test(self, conn: Connection, test: Test) -> None:
        conn.execute(
            insert(tests).values(
                session_id=test.session_id,
                n=test.n,
                status=test.status.value,
                files=dump(test.files),
                created_at=time_text(test.created_at),
                cancel_requested=False,
                devices="[]",
                refunded=False,
            )
        )

    def tests(self, conn: Connection, session_id: str) -> list[Test]:
        return self._tests(conn, tests.c.session_id == session_id)

    def test(self, conn: Connection, session_id: str, n: int) -> Test | None:
        found = self._tests(conn, and_(tests.c.session_id == session_id, tests.c.n == n))
        return found[0] if found else None

    def unfinished(self, conn: Connection) -> list[Test]:
        """Oldest first."""
        return self._tests(conn, tests.c.status.in_(_UNFINISHED))

    def _tests(self, conn: Connection, where: Any) -> list[Test]:
        found = conn.execute(select(tests).where(where).order_by(tests.c.created_at, tests.c.n)).all()
        joined = runs.join(tests, and_(runs.c.session_id == tests.c.session_id, runs.c.n == tests.c.n))
        by_test: dict[tuple[str, int], list[Run]] = defaultdict(list)
        for row in conn.execute(select(runs).select_from(joined).where(where).order_by(runs.c.position)):
            by_test[row.session_id, row.n].append(read_run(row))
        return [read_test(row, tuple(by_test[row.session_id, row.n])) for row in found]

    def series(self, conn: Connection, session_id: str, n: int) -> list[tuple[str, Series]]:
        """Each run's label and what it said of itself, in order."""
        where = and_(runs.c.session_id == session_id, runs.c.n == n)
        found = conn.execute(select(runs.c.label, runs.c.series).where(where).order_by(runs.c.position))
        return [(row.label, read_series(row.series)) for row in found]

    def status(self, conn: Connection, session_id: str, n: int) -> Status:
        where = and_(tests.c.session_id == session_id, tests.c.n == n)
        return Status(conn.execute(select(tests.c.status).where(where)).scalar_one())

    def set_running(self, conn: Connection, test: Test) -> None:
        assert test.started_at is not None
        self._update_test(
            conn,
            test,
            status=Status.RUNNING.value,
            started_at=time_text(test.started_at),
            devices=dump(test.devices),
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
            ended_at=time_text(test.ended_at),
            refunded=test.refunded,
            observation=test.observation,
        )

    def _update_test(self, conn: Connection, test: Test, **values: Any) -> None:
        changed = conn.execute(
            update(tests)
            .where(tests.c.session_id == test.session_id, tests.c.n == test.n, tests.c.status.in_(_UNFINISHED))
            .values(**values)
        )
        assert changed.rowcount == 1, f"test {test.run_key} is final already"

    def add_run(self, conn: Connection, test: Test, position: int, run: Run) -> None:
        conn.execute(insert(runs), run_columns(test.session_id, test.n, position, run))

    # --- answers by Idempotency-Key ------------------------------------------------------------------------------

    def answer(self, conn: Connection, scope: str, key: str) -> RowMapping | None:
        """`fingerprint` and `body` of the first answer given under this key."""
        return (
            conn.execute(
                select(answers.c.fingerprint, answers.c.body).where(answers.c.scope == scope, answers.c.key == key)
            )
            .mappings()
            .first()
        )

    def add_answer(self, conn: Connection, scope: str, key: str, fingerprint: str, body: str) -> None:
        conn.execute(insert(answers).values(scope=scope, key=key, fingerprint=fingerprint, body=body))

    # --- for the operator ----------------------------------------------------------------------------------------

    def counts(self, conn: Connection) -> dict[str, int]:
        """Tests by status."""
        counted = conn.execute(select(tests.c.status, func.count()).group_by(tests.c.status))
        return {status: count for status, count in counted.tuples()}  # noqa: C416 - a cursor is no iterable of pairs

    def totals(self, conn: Connection) -> Totals:
        """Since the database began."""
        refunded = select(func.count()).select_from(tests).where(tests.c.refunded)
        return Totals(
            conn.execute(select(func.count()).select_from(sessions)).scalar_one(), conn.execute(refunded).scalar_one()
        )
