"""A small task folder to start from, as an operator would write it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

MINIMAL = """\
id = "my-task"
title = "A task of one's own"
template = "custom.py"
filename = "pkg/custom.py"
editable = [[3, 14], [20, 22]]
[budget]
tests = 3
steps = 0
checks = 10
[[scales.smoke.stages]]
label = "gpt-smoke"
script = "scripts/gpt_smoke.sh"
"""
TEMPLATE = "".join(f"x{line} = {line}\n" for line in range(1, 25))

WriteTask = Callable[[Mapping[str, str | bytes]], Path]


@pytest.fixture
def minimal() -> str:
    return MINIMAL


@pytest.fixture
def template() -> str:
    return TEMPLATE


@pytest.fixture
def write_task(tmp_path: Path) -> WriteTask:
    """Writes the minimal task with `files` laid over it and returns its folder."""

    def write(files: Mapping[str, str | bytes]) -> Path:
        folder = tmp_path / "my-task"
        for name, content in {"task.toml": MINIMAL, "custom.py": TEMPLATE, **files}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return folder

    return write
