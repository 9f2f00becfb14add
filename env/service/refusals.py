"""Refusals that several calls share."""

from __future__ import annotations

from collections.abc import Iterable

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
    return Refusal(Kind.NOT_FOUND, "unknown_test", f"Session {session_id} has no test #{n}.")


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


def no_scale() -> Refusal:
    return Refusal(Kind.CONFLICT, "no_scale", "This task has no scales: it can be edited but not tested.")


def no_results() -> Refusal:
    return Refusal(Kind.CONFLICT, "no_results", "No test results yet. Run test() at least once first.")
