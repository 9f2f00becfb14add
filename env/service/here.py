"""The boards that results of this service stand on now: by its runner, its data folder and its tasks."""

from __future__ import annotations

from pathlib import Path

from env.lifecycle.record import data_digests
from leaderboard.board import BoardKey, RunnerClass, data_key
from tasks.model import Scale, Task


class Here:
    """What this service runs with."""

    def __init__(self, runner: str, data_dir: Path | None) -> None:
        """`runner` by its name; `data_dir` is None where nothing is really trained."""
        self._runner_class = RunnerClass.of(runner)
        self._data_dir = data_dir

    def boards(self, task: Task) -> tuple[BoardKey, ...]:
        """Of this version of a task, one for each scale, from small to large."""
        return tuple(self.board(task, scale) for scale in task.scales.values())

    def board(self, task: Task, scale: Scale) -> BoardKey:
        """Where a result of this version of a task at one of its scales would stand."""
        return BoardKey(
            task_id=task.id,
            task_version=task.version,
            scale=scale.name,
            data=data_key(data_digests(scale, self._data_dir)),
            runner_class=self._runner_class,
        )
