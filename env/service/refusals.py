"""Refusals that several calls share."""

from __future__ import annotations

from collections.abc import Iterable

from env.store.keys import name_of
from env.store.model import Session
from ringfence.api.refusal import Kind, Refusal


def unknown_session(session_id: str) -> Refusal:
    return Refusal(Kind.NOT_FOUND, "unknown_session", f"There is no session {session_id[:64]!r}.")


def unreadable(session_id: str) -> Refusal:
    return Refusal(
        Kind.CONFLICT,
        "session_unreadable",
        f"What is stored of session {session_id[:64]!r} cannot be read. The service's log says why; open another "
        "session to go on.",
    )


def unknown_task(task_id: str, tasks: Iterable[str]) -> Refusal:
    return Refusal(
        Kind.NOT_FOUND, "unknown_task", f"There is no task {task_id[:64]!r}. Tasks: {', '.join(sorted(tasks))}."
    )


def unknown_test(session_id: str, n: int) -> Refusal:
    """`n` is a test's or a probe's key."""
    code = "unknown_probe" if n < 0 else "unknown_test"
    return Refusal(Kind.NOT_FOUND, code, f"Session {session_id} has no {name_of(n).lower()}.")


def unknown_result(run_key: str) -> Refusal:
    return Refusal(
        Kind.NOT_FOUND,
        "unknown_result",
        f"There is no result {run_key[:64]!r}. Each row of GET /v1/leaderboards/{{task_id}} names its run_key.",
    )


def no_database() -> Refusal:
    return Refusal(
        Kind.UNAVAILABLE,
        "database_unavailable",
        "The service's database does not answer at the moment, so this call was not carried out. Repeat it in some "
        "seconds; with the same Idempotency-Key, if it had one.",
    )


def nothing_runs(why: str) -> Refusal:
    return Refusal(
        Kind.UNAVAILABLE,
        "cannot_run_now",
        f"The service can run nothing at the moment ({why}). Nothing was spent. Repeat the call in some seconds.",
    )


def cannot_run(scale: str, lack: str, others: Iterable[str] = ()) -> Refusal:
    """`others` are the task's scales that can be run."""
    known = ", ".join(others)
    instead = f"another scale: {known}" if known else "another scale"
    return Refusal(Kind.CONFLICT, "no_devices", f"Scale {scale} {lack}. Open a session with {instead}.")


def no_scale() -> Refusal:
    return Refusal(Kind.CONFLICT, "no_scale", "This task has no scales: it can be edited but not tested.")


def no_proxy(session: Session) -> Refusal:
    return Refusal(
        Kind.CONFLICT,
        "no_proxy",
        f"Scale {session.scale} has no proxy, so there are no probes in this session. test() runs the file.",
    )


def tests_spent(limit: int, left: int) -> Refusal:
    return Refusal(
        Kind.EXHAUSTED,
        "test_budget_exhausted",
        f"Test budget exhausted ({limit - left}/{limit}). You MUST call submit(n=N) to choose which test result to "
        "submit.",
    )


def probes_spent(session: Session) -> Refusal:
    limit = session.task.budget.probes
    return Refusal(
        Kind.EXHAUSTED,
        "probe_budget_exhausted",
        f"Probe budget exhausted ({limit}/{limit}). What is left are tests, at scale {session.scale}.",
    )


def no_results(*, probed: bool = False) -> Refusal:
    """`probed`: there are results of probes."""
    more = " The result of a probe cannot be submitted." if probed else ""
    return Refusal(Kind.CONFLICT, "no_results", f"No test results yet. Run test() at least once first.{more}")
