"""What is wrong with a task, said so that its author can mend it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


class TaskError(Exception):
    """A task that cannot be loaded; prints as `path/task.toml: key: what is wrong; what is allowed`.

    `key` is the dotted key (`scales.smoke.stages[0].script`, counted from 0), `line N` where a file has no keys, and
    empty when it is the file as a whole. `further` holds the other errors found in the same go, printed below it.
    """

    def __init__(self, file: Path, key: str, message: str, further: tuple[TaskError, ...] = ()) -> None:
        super().__init__(file, key, message)
        self.file = file
        self.key = key
        self.message = message
        self.further = further

    def __str__(self) -> str:
        own = ": ".join(part for part in (str(self.file), self.key, self.message) if part)
        return "\n".join([own, *map(str, self.further)])

    @classmethod
    def together(cls, errors: Iterable[TaskError]) -> TaskError:
        """One error that tells all of `errors`, which must not be empty."""
        flat = [cls(one.file, one.key, one.message) for error in errors for one in (error, *error.further)]
        assert flat, "no error to tell"
        return cls(flat[0].file, flat[0].key, flat[0].message, tuple(flat[1:]))
