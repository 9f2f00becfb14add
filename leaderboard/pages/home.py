"""The home page: every task with how far it got."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from leaderboard.pages.render import render
from leaderboard.table import Overview


@dataclass(frozen=True)
class TaskEntry:
    """A task as the home page names it."""

    task_id: str
    title: str
    scales: tuple[str, ...]


def home_page(tasks: Sequence[TaskEntry], overviews: Sequence[Overview]) -> str:
    """The page as HTML: the tasks in the order given, then those that only have results left."""
    known = {task.task_id for task in tasks}
    gone = dict.fromkeys(one.task_id for one in overviews if one.task_id not in known)
    entries = [*tasks, *(TaskEntry(task_id, task_id, ()) for task_id in gone)]
    by_task = {entry.task_id: [one for one in overviews if one.task_id == entry.task_id] for entry in entries}
    return render(
        "home.html",
        tasks=entries,
        by_task=by_task,
        tests=sum(one.tests for one in overviews),
        sessions=sum(one.sessions for one in overviews),
    )
