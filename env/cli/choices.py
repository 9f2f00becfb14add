"""Which tasks and seeds a command means."""

from __future__ import annotations

from env.cli.wiring import CannotStart
from tasks.load import Found


def seeds_in(text: str) -> list[int]:
    """Whole numbers separated by commas. Raises CannotStart."""
    given = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and int(part) < 1 << 63 for part in given):
        raise CannotStart(f"--seeds {text} is no list of whole numbers below 2^63, as in 42,43,44.")
    if len(set(given)) != len(given):
        raise CannotStart(f"--seeds {text} names a seed more than once: it would count twice.")
    return [int(part) for part in given]


def chosen(found: dict[str, Found], task: str | None, scale: str, *, every: bool) -> list[Found]:
    """The task of that id, or every one that has the scale. Raises CannotStart."""
    if every == (task is not None):
        raise CannotStart("name one task, or give --all.")
    if every:
        having = [one for one in found.values() if scale in one.task.scales]
        if not having:
            raise CannotStart(f"no task has the scale {scale!r}.")
        return having
    if task not in found:
        raise CannotStart(f"there is no task {task!r}. Tasks: {', '.join(found)}.")
    if scale not in found[task].task.scales:
        raise CannotStart(f"{task} has no scale {scale!r}. Its scales: {', '.join(found[task].task.scales) or 'none'}.")
    return [found[task]]
