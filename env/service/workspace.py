"""The files of a session: the fenced one of the task, and those the agent created."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from types import MappingProxyType

from env.document import Document
from env.store.model import Editables
from ringfence.api.refusal import Kind, Refusal
from tasks.model import Task

# Beside the script every other name could shadow a module that it, or torch, imports.
_CREATED_NAME = re.compile(r"custom_[a-z0-9_]{1,40}\.py")
MAX_CREATED_FILES = 8
_COPIES = 3
"""Of each editable character: in its line, in its segment's text and in the file's."""
_LINE_BYTES = 64
"""What a line takes beside its characters."""


@dataclass(frozen=True)
class Workspace:
    """An immutable state of a session's files, by path."""

    documents: Mapping[str, Document]

    @staticmethod
    def open(task: Task) -> Workspace:
        return Workspace(MappingProxyType({task.filename: Document.open(task.filename, task.text, task.editable)}))

    def document(self, filename: str | None) -> Document:
        """By path, by bare name, or the only one there is when no name is given."""
        if filename is None:
            return next(iter(self.documents.values()))
        found = self.documents.get(filename)
        if found is None:
            found = next((d for path, d in self.documents.items() if PurePosixPath(path).name == filename), None)
        if found is None:
            names = ", ".join(self.documents)
            raise Refusal(
                Kind.NOT_FOUND, "unknown_file", f"Unknown file {filename[:200]!r}. You may only edit {names}."
            )
        return found

    def with_document(self, document: Document) -> Workspace:
        return Workspace(MappingProxyType({**self.documents, document.filename: document}))

    def with_created(self, filename: str, content: str, max_bytes: int) -> Workspace:
        """With a new, wholly editable file in the script's folder. Raises Refusal, EditRefused."""
        folder = PurePosixPath(next(iter(self.documents))).parent
        given = PurePosixPath(filename)
        if not _CREATED_NAME.fullmatch(given.name) or str(given) not in (given.name, str(folder / given.name)):
            raise Refusal(
                Kind.INVALID,
                "bad_filename",
                f"A new file's name must look like {folder / 'custom_name.py'} (lower-case letters, digits, _).",
            )
        path = str(folder / given.name)
        if path in self.documents:
            raise Refusal(Kind.CONFLICT, "file_exists", f"{path} exists already. Use op=replace to change it.")
        if len(self.documents) > MAX_CREATED_FILES:
            raise Refusal(
                Kind.CONFLICT, "too_many_files", f"At most {MAX_CREATED_FILES} files may be created in a session."
            )
        return self.with_document(Document.created(path, content, max_bytes))

    @cached_property
    def memory_bytes(self) -> int:
        """About what the state takes in memory, without the fixed lines, which all states share."""
        segments = [segment for document in self.documents.values() for segment in document.editable]
        fixed = sum(segment.size for document in self.documents.values() for segment in document.fixed)
        return fixed + sum(_COPIES * segment.size + _LINE_BYTES * len(segment.lines) for segment in segments)

    @property
    def texts(self) -> dict[str, str]:
        return {path: document.text for path, document in self.documents.items()}

    def editables(self) -> Editables:
        return {path: document.editable_texts() for path, document in self.documents.items()}

    def restored(self, editables: Editables) -> Workspace:
        """The state with these editable lines, as `editables` gave them; `self` is the state as opened."""
        documents = {}
        for path, segments in editables.items():
            original = self.documents.get(path) or Document.created(path, "")
            documents[path] = original.with_editable(segments)
        return Workspace(MappingProxyType(documents))
