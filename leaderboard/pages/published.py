"""The page of figures that others have published."""

from __future__ import annotations

from itertools import groupby

from leaderboard.pages.home import TaskEntry
from leaderboard.pages.render import render
from leaderboard.published import MARK, Published


def published_page(published: Published, tasks: list[TaskEntry]) -> str:
    """The page as HTML; `tasks` are those of this service, which the page links to."""
    titles = {task.task_id: task.title for task in tasks}
    by_task = [(task_id, list(figures)) for task_id, figures in groupby(published.figures, lambda one: one.task_id)]
    return render("published.html", source=published.source, by_task=by_task, titles=titles, mark=MARK)
