"""What an agent is told, generated from the task, so that it can't disagree with it."""

from __future__ import annotations

from collections.abc import Iterator

from env.document import Document, listing
from env.document.baselines import baseline_document
from tasks.model import Baseline, Scale, SessionBudget, Task

_HOW = """\
Work through the tools: `edit` changes the file inside its editable ranges, `view` shows it, `undo` takes edits back,
`check` rehearses it, `test` runs it, `submit(n=N)` makes the result of test #N your final answer and ends the session.
Line numbers move with your edits: the answer to every edit shows the current ranges. `check` and `test` take no
arguments and run the file as it is."""
_PROBES = """\
`probe` takes no arguments and runs the file as it is, as a test does, at a smaller scale: a proxy, which costs a
fraction. Its result guides you and nothing else: it is never ranked and cannot be submitted."""
_BASELINES = """\
Known methods, for comparison. They are read-only references: the file below is the unedited one. Of each, the editable
ranges that it changes are shown as they are after its edits."""


def prompt(task: Task, scale: str | None) -> str:
    return "\n\n".join(_parts(task, None if scale is None else task.scales[scale])) + "\n"


def _parts(task: Task, scale: Scale | None) -> Iterator[str]:
    proxy = None if scale is None or scale.probe is None else task.scales[scale.probe]
    yield f"# Task: {task.id}\n\n{task.title}"
    yield task.description.strip()
    yield "## Your tools"
    yield _HOW
    yield "## What a test runs"
    yield "\n".join(_evaluation(scale))
    if proxy is not None:
        yield "## What a probe runs"
        yield _PROBES
        yield "\n".join(_evaluation(proxy, "probe"))
    yield "## Budget"
    yield "\n".join(_budget(task.budget, proxy))
    if task.override_keys:
        yield f"`CONFIG_OVERRIDES` may carry the keys {', '.join(task.override_keys)}, and no others."
    if task.baselines:
        yield "## Baselines"
        yield _BASELINES
        for baseline in task.baselines:
            yield "\n".join(_reference(task, baseline))
    yield "## The file"
    yield listing(Document.open(task.filename, task.text, task.editable))


def _evaluation(scale: Scale | None, run: str = "test") -> Iterator[str]:
    if scale is None:
        yield "This task can be edited but not tested: it has no scales."
        return
    if scale.summary:
        yield f"Scale `{scale.name}`: {scale.summary.strip()}"
        yield ""
    if scale.settings:
        yield "Settings: " + ", ".join(f"{name}={value}" for name, value in scale.settings.items())
        yield ""
    yield f"Each {run} trains from scratch and runs, in order:"
    for stage in scale.stages:
        yield f"- `{stage.label}`: `bash {stage.script}`, at most {_duration(stage.timeout_s)}"
    if scale.max_parameters is not None:
        yield ""
        yield (
            f"The checkpoint may hold at most {scale.max_parameters:,} numbers: parameters and buffers that are saved, "
            "a tied tensor once. A larger one is rejected. They reach the evaluation with about eight bits each: "
            "register a table of constants with persistent=False."
        )


def _budget(budget: SessionBudget, proxy: Scale | None) -> Iterator[str]:
    yield f"- {budget.tests} test(s). A test that is refused for a mistake in the file costs nothing."
    if proxy is not None:
        yield f"- {budget.probes} probe(s) at scale `{proxy.name}`, beside the tests; one test or probe at a time."
    yield f"- {budget.checks} check(s): free rehearsals of a few seconds, on CPU at a tiny size."
    if budget.steps:
        yield f"- {budget.steps} tool calls in all."


def _reference(task: Task, baseline: Baseline) -> Iterator[str]:
    yield f"### {baseline.name}: {baseline.title}"
    yield f"Source: {baseline.source}"
    edited = baseline_document(task, baseline)
    original = Document.open(task.filename, task.text, task.editable)
    for (first, last), before, after in zip(task.editable, original.editable, edited.editable, strict=True):
        if after != before:
            yield f"\nLines {first}–{last}:" if last > first else f"\nLine {first}:"
            yield f"```python\n{after.text.rstrip()}\n```" if after.lines else "(removed)"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
