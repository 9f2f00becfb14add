"""What can be read of a session and its tests, as JSON values."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from sqlalchemy import Engine

from env.lifecycle.feedback import stage_metrics
from env.lifecycle.loop import Lifecycle
from env.lifecycle.progress import Progress
from env.service.access import Access
from env.service.live import LiveSession, LiveSessions
from env.service.shapes import budget, files, result_whole, unknown_result, unknown_test
from env.store.model import Run, Step, Test
from env.store.store import Store
from leaderboard import reading as leaderboard
from leaderboard.column_types import time_text
from runner.metrics import TrainMetrics


class Views:
    def __init__(self, engine: Engine, store: Store, live: LiveSessions, lifecycle: Lifecycle, access: Access) -> None:
        self._engine = engine
        self._store = store
        self._live = live
        self._lifecycle = lifecycle
        self._access = access

    def session(self, bearer: str | None, session_id: str) -> dict[str, Any]:
        live = self._readable(bearer, session_id)
        with self._engine.begin() as conn:
            tests = self._store.tests(conn, session_id)
        session = live.session
        return {
            "session_id": session.id,
            "task": session.task.id,
            "agent": session.agent,
            "scale": session.scale,
            "metadata": session.metadata,
            "state": "submitted" if live.submission else "closed" if live.ending else "open",
            "created_at": time_text(session.created_at),
            "budget": budget(session.task, tests),
            "steps": live.seq,
            "revision": live.revision,
            "files": files(live.workspace),
            "tests": [_brief(test) for test in tests],
            "submission": live.submission
            and {
                "n": live.submission.test,
                "submitted_at": time_text(live.submission.at),
                "auto_submitted": live.ending is not None,
            },
            "closed": live.ending and {"at": time_text(live.ending.at), "reason": live.ending.reason},
        }

    def test(self, bearer: str | None, session_id: str, n: int) -> dict[str, Any]:
        self._readable(bearer, session_id)
        with self._engine.begin() as conn:
            test = self._store.test(conn, session_id, n)
        if test is None:
            raise unknown_test(session_id, n)
        # The supervisor of a test lives a moment longer than the test: what is over shows no progress of its own.
        return _test(test, None if test.status.final else self._lifecycle.progress(session_id, n))

    def trajectory(self, bearer: str | None, session_id: str) -> dict[str, Any]:
        live = self._readable(bearer, session_id)
        with self._engine.begin() as conn:
            steps = self._store.steps(conn, session_id)
            tests = {test.n: test for test in self._store.tests(conn, session_id)}
        return {
            "session_id": session_id,
            "task": live.session.task.id,
            "task_version": live.session.task.version,
            "agent": live.session.agent,
            "scale": live.session.scale,
            "steps": [_step(step, tests) for step in steps],
            "files": files(live.workspace),
            "submission": live.submission and {"n": live.submission.test},
        }

    def result(self, bearer: str | None, run_key: str) -> dict[str, Any]:
        """A row of a leaderboard, whole. Its code is its agent's affair until the session is over."""
        with self._engine.begin() as conn:
            entry = leaderboard.entry(conn, run_key)
            if entry is None:
                raise unknown_result(run_key)
            session = self._store.session(conn, entry.result.session_id)
        with_code = entry.session_over or (session is not None and self._access.may_read(bearer, session))
        return result_whole(entry, with_code=with_code)

    def counts(self) -> dict[str, int]:
        """Tests by status, of all sessions."""
        with self._engine.begin() as conn:
            return self._store.counts(conn)

    def _readable(self, bearer: str | None, session_id: str) -> LiveSession:
        """What is submitted is published: from then on everyone may read how it came about."""
        live = self._live.get(session_id)
        if live.submission is None:
            self._access.require_reader(bearer, live.session)
        return live


def _brief(test: Test) -> dict[str, Any]:
    return {
        "n": test.n,
        "status": test.status.value,
        "refunded": test.refunded,
        "created_at": time_text(test.created_at),
        "started_at": test.started_at and time_text(test.started_at),
        "ended_at": test.ended_at and time_text(test.ended_at),
    }


def _test(test: Test, progress: Progress | None) -> dict[str, Any]:
    return _brief(test) | {
        "progress": _progress(test, progress),
        "metrics": {f"{name}_{run.label}": _finite(value) for run in test.runs for name, value in run.metrics.items()},
        "stages": list(_stages(test.runs)),
        "observation": test.observation,
    }


def _progress(test: Test, live: Progress | None) -> dict[str, Any]:
    """Self-reported by the agent's process."""
    series = live.series if live is not None else tuple(point for run in test.runs for point in run.series)
    now = time.time()
    return {
        "stage": live.label if live is not None else None,
        "evaluating": live.evaluating if live is not None else False,
        "step": series[-1].step if series else 0,
        "total_steps": live.total_steps if live is not None else None,
        "eta_s": live.eta_s(now) if live is not None else None,
        "series": [point_json(point) for point in series],
    }


def point_json(point: TrainMetrics) -> dict[str, Any]:
    return {"step": point.step, "train_loss": _finite(point.train_loss), "val_loss": _finite(point.val_loss)}


def _stages(runs: tuple[Run, ...]) -> Iterator[dict[str, Any]]:
    for label, of_stage in groupby(runs, key=lambda run: run.label):
        stage = list(of_stage)
        yield {
            "label": label,
            "script": stage[0].script,
            "status": stage[-1].status.value,
            "reason": stage[-1].reason,
            "elapsed_s": round(sum(run.elapsed_s for run in stage), 3),
            "metrics": {name: _finite(value) for name, value in stage_metrics(stage).items()},
        }


def _step(step: Step, tests: dict[int, Test]) -> dict[str, Any]:
    """A test's step tells what came of it, once that is known."""
    told = tests[step.test].observation if step.tool == "test" and step.test is not None else None
    return {
        "step": step.seq,
        "tool": step.tool,
        "input": step.input,
        "ok": step.ok,
        "code": step.code,
        "observation": told or step.observation,
        "test": step.test,
        "at": time_text(step.at),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
