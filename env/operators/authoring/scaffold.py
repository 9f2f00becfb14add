"""A new task folder: small, complete, and ready to be served."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from env.operators.authoring.examine import examine
from env.operators.authoring.landmarks import OVERRIDES, landmarks
from tasks.errors import TaskError
from tasks.model import Task
from templates.render import names, render

_KEYS = ("learning_rate", "weight_decay", "warmup_iters", "min_lr", "grad_clip")
"""What CONFIG_OVERRIDES may carry in the built-in scripts."""


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What an author has decided on."""

    id: str
    title: str
    template: str
    """A built-in script's name."""
    own_file: Path | None
    """The author's own script, instead."""
    editable: Sequence[tuple[int, int]]
    filename: str
    """How the agent sees the file."""


class CannotWrite(Exception):
    """What keeps a task from being written, in words that say what to change."""


def script_text(template: str, own_file: Path | None) -> str:
    """The script of a draft. Raises CannotWrite."""
    if own_file is not None:
        try:
            return own_file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CannotWrite(f"{own_file}: cannot be read as UTF-8 text: {error}") from error
    if template not in names():
        known = ", ".join(sorted(names()))
        raise CannotWrite(f"no template {template!r}: give a file, or a built-in one: {known}")
    return render(template)


def write(draft: Draft, folder: Path) -> Task:
    """The task, written into `folder`, which must be new or empty. Raises CannotWrite, and TaskError for a draft that
    makes no valid task; then nothing is left behind.
    """
    text = script_text(draft.template, draft.own_file)
    existed = folder.exists()
    try:
        if existed and (not folder.is_dir() or any(folder.iterdir())):
            raise CannotWrite(f"{folder} exists and is not an empty folder; give another with --folder")
        (folder / "baselines").mkdir(parents=True)
        (folder / "task.toml").write_text("\n".join(_toml(draft, text)) + "\n", encoding="utf-8")
        (folder / "description.md").write_text("\n".join(_description(draft, text)) + "\n", encoding="utf-8")
        (folder / "baselines" / "README.md").write_text("\n".join(_baselines(draft)) + "\n", encoding="utf-8")
        if draft.own_file is not None:
            (folder / draft.own_file.name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise CannotWrite(f"{folder}: {error.strerror}") from error
    try:
        return examine(folder)
    except TaskError:
        shutil.rmtree(folder)
        if existed:
            folder.mkdir()
        raise


def _toml(draft: Draft, text: str) -> Iterator[str]:
    yield f"id = {_quoted(draft.id)}"
    yield f"title = {_quoted(draft.title)}"
    source = draft.template if draft.own_file is None else draft.own_file.name
    yield f"template = {_quoted(source)}        # a built-in script, or a file in this folder"
    yield f"filename = {_quoted(draft.filename)}        # how the agent sees it"
    ranges = ", ".join(f"[{first}, {last}]" for first, last in draft.editable)
    yield f"editable = [{ranges}]        # 1-based, inclusive, at least one fixed line between two"
    if _opens_overrides(draft, text):
        yield f"override_keys = {json.dumps(_KEYS)}"
    yield ""
    yield "[budget]"
    yield "tests = 3         # a session may run so many"
    yield "steps = 0         # tool calls in a session; 0 = no limit"
    yield "checks = 10       # free rehearsals"
    yield "# gpu_hours = 24  # beside tests, or instead of them: what all runs of a session may take on GPUs"
    yield ""
    if draft.own_file is None:
        yield "[scales.smoke]          # two CPU processes, seconds; keys written here replace the built-in ones"
        yield ""
        yield "[scales.gpt-124m]       # GPT-2 Small on two GPUs"
        yield ""
        yield "[scales.gpt-345m]       # GPT-2 Medium on two GPUs"
        yield 'probe = "gpt-124m"      # at which agents probe before they test, at most `probes` times of the budget'

    elif "GPT" in landmarks(text):
        yield "[scales.smoke]          # the built-in stages; the script reads its settings from the environment"
    else:
        yield "# The script defines no class GPT, which the built-in stages train and score: the task can be edited but"
        yield "# not tested until it has a scale with stages of its own, as in"
        yield "# [scales.mine]"
        yield "# max_parameters = 1000000"
        yield '# stages = [{label = "train", script = "train.sh"}]'


def _description(draft: Draft, text: str) -> Iterator[str]:
    by_range = {lines: name for name, lines in landmarks(text).items()}
    yield "## Research question"
    yield ""
    yield f"{draft.title}: which change makes the model better on text it has not seen, in the same number of training"
    yield "steps? (Say here what is asked, and why it matters.)"
    yield ""
    yield "## What you may change"
    yield ""
    for first, last in draft.editable:
        name = by_range.get((first, last))
        yield f"- Lines {first}–{last}{f', `{name}`' if name else ''}."
    yield ""
    yield "## Interfaces to keep"
    yield ""
    yield "Names, arguments and shapes that the rest of the file relies on stay as they are."


def _baselines(draft: Draft) -> Iterator[str]:
    first, last = draft.editable[0]
    yield f"""\
# Baselines of {draft.id}

Known methods, each a file `<name>.toml` in this folder: references for agents, and what scores are measured against.
`edits` are what the `edit` tool takes, applied one after another; line numbers are those of the moment. An example:

```toml
title = "What the method is, in one line"
source = "The paper it comes from, or whose practice it is"

[[edits]]
op = "replace"                # or insert (after_line, content), str_replace (old_str, new_str)
start_line = {first}
end_line = {last}
content = '''
…
'''
```

`ringfence task check` applies each, lints it, and takes two optimizer steps with it."""


def _opens_overrides(draft: Draft, text: str) -> bool:
    lines = text.split("\n")
    return any(OVERRIDES in line for first, last in draft.editable for line in lines[first - 1 : last])


def _quoted(text: str) -> str:
    """As a TOML basic string: JSON's escapes are TOML's."""
    return json.dumps(text, ensure_ascii=False)
