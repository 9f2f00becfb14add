"""The home page: every task with how far it got."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from leaderboard.board import RunnerClass
from leaderboard.pages.render import render
from leaderboard.table import Overview

_TRUST = tuple(RunnerClass)


@dataclass(frozen=True)
class TaskEntry:
    """A task as the home page names it."""

    task_id: str
    title: str
    scales: tuple[str, ...]


def home_page(tasks: Sequence[TaskEntry], overviews: Sequence[tuple[Overview, bool]]) -> str:
    """The page as HTML: the tasks in the order given, then those that only have results left.

    Each overview comes with whether the service's own results stand on that board now. Where a task has such boards,
    all others of it are folded away; else those below the most trusted class of runner.
    """
    known = {task.task_id for task in tasks}
    gone = dict.fromkeys(one.board.task_id for one, _ in overviews if one.board.task_id not in known)
    entries = [*tasks, *(TaskEntry(task_id, task_id, ()) for task_id in gone)]
    by_task: dict[str, tuple[list[Overview], list[Overview]]] = {}
    for entry in entries:
        of_task = [(one, here) for one, here in overviews if one.board.task_id == entry.task_id]
        of_task.sort(key=lambda pair: _TRUST.index(pair[0].board.runner_class))
        best_class = of_task[0][0].board.runner_class if of_task else None
        anywhere_here = any(here for _, here in of_task)
        shown: list[Overview] = []
        folded: list[Overview] = []
        for one, here in of_task:
            first = here if anywhere_here else one.board.runner_class is best_class
            (shown if first else folded).append(one)
        by_task[entry.task_id] = shown, folded
    return render(
        "home.html",
        tasks=entries,
        by_task=by_task,
        tests=sum(one.tests for one, _ in overviews),
        invented=sum(one.tests for one, _ in overviews if one.board.runner_class is RunnerClass.FAKE),
        sessions=sum(one.sessions for one, _ in overviews),
    )
