"""Every baseline of every task as a script, and its model at a size that takes milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest
import torch

from env.document import Document
from env.document.baselines import baseline_document
from tasks.load import load_tasks
from tasks.model import Task

TASKS = load_tasks()
CASES = [(task.id, baseline.name) for task in TASKS.values() for baseline in task.baselines]


@dataclass(frozen=True)
class Script:
    task: Task
    name: str
    original: Document
    edited: Document

    @property
    def text(self) -> str:
        return self.edited.text


def script(task: Task, name: str) -> Script:
    """A task's file with the named baseline's edits."""
    original = Document.open(task.filename, task.text, task.editable)
    baseline = next(baseline for baseline in task.baselines if baseline.name == name)
    return Script(task, name, original, baseline_document(task, baseline))


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Models this small are slower on several, most of all where other tests want them too."""
    torch.set_num_threads(1)


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0].removeprefix('llm-pretrain-')}-{case[1]}")
def case(request: pytest.FixtureRequest) -> Script:
    task, name = request.param
    return script(TASKS[task], name)


@pytest.fixture
def tasks() -> dict[str, Task]:
    return TASKS


@pytest.fixture
def named(load: Callable[[str], ModuleType]) -> Callable[[str, str], ModuleType]:
    """The module of a task's baseline, the task named without `llm-pretrain-`."""
    return lambda task, name: load(script(TASKS[f"llm-pretrain-{task}"], name).text)


@pytest.fixture
def build() -> Callable[..., Any]:
    """A script's model, from a seed. Three layers: the middle one is neither the first nor the last."""

    def build_model(module: ModuleType, seed: int = 0) -> Any:
        torch.manual_seed(seed)
        config = module.GPTConfig(block_size=24, vocab_size=48, n_layer=3, n_head=2, n_embd=32)
        return module.GPT(config)

    return build_model
