"""What an agent is told, generated from the task, so that it can't disagree with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from env.document import Document, listing
from env.document.baselines import baseline_document
from leaderboard.beating import ToBeat
from runner.hardware import FLA
from tasks.model import Baseline, Scale, SessionBudget, Task

_TOLD = ("python", "torch", FLA)
"""Of the versions that are known."""
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


@dataclass(frozen=True, kw_only=True)
class Installation:
    """What a service knows that a task does not."""

    versions: Mapping[str, str]
    """What runs tests: package to version."""
    to_beat: ToBeat | None
    """What results are compared with; None where nothing is known that would rank them."""


def prompt(task: Task, scale: str | None, here: Installation | None = None) -> str:
    """The whole prompt; without `here` nothing is said of what differs from service to service."""
    return "\n\n".join(_parts(task, None if scale is None else task.scales[scale], here)) + "\n"


def _parts(task: Task, scale: Scale | None, here: Installation | None) -> Iterator[str]:
    proxy = None if scale is None or scale.probe is None else task.scales[scale.probe]
    yield f"# Task: {task.id}\n\n{task.title}"
    yield task.description.strip()
    yield "## Your tools"
    yield _HOW
    yield "## What a test runs"
    yield "\n".join(_evaluation(scale))
    if scale is not None and here is not None:
        yield "\n".join(_sandbox(scale, here.versions))
    if proxy is not None:
        yield "## What a probe runs"
        yield _PROBES
        yield "\n".join(_evaluation(proxy, "probe"))
    if scale is not None and here is not None:
        yield "## What there is to beat"
        yield "\n".join(_to_beat(here.to_beat))
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


def _sandbox(scale: Scale, versions: Mapping[str, str]) -> Iterator[str]:
    yield f"A run has {_memory(scale.memory_mb)} of memory for its {scale.world_size} process(es), and no network."
    known = ", ".join(f"{name} {version}" for name in _TOLD if (version := versions.get(name, "none")) != "none")
    if known:
        without = "" if versions.get(FLA, "none") != "none" else f"; {FLA} is not installed"
        yield f"It finds {known}{without}."


def _to_beat(known: ToBeat | None) -> Iterator[str]:
    if known is None:
        yield "Nothing is known yet: no baseline has a result on this service at this scale, nor are there scores."
        return
    yield f"Results are ranked by `{known.metric}`, lower is better. Results of the baselines on this service:"
    yield ""
    for one in known.baselines:
        yield f"- {one.name}: {one.mean:.4f}{f' (mean of {one.n} seeds)' if one.n > 1 else ''}"
    if not known.baselines:
        yield "- none yet"
    yield ""
    if known.noise:
        yield f"Seeds of one code differ by a standard deviation of σ = {known.noise:.4f}: less may be luck."
    else:
        yield "How much seeds of one code differ is not known here."
    if known.formula is None:
        yield "There are no scores at this scale."
    else:
        weighing = ", ".join(f"{one.metric} ({one.weight:g})" for one in known.formula.anchors if one.weight)
        yield (
            "Score of a metric with value x: s = ((x - floor) / (bound - floor))^γ, 0 at the worst baseline (floor), "
            "0.5 at the best, 1 at the bound. The weighted mean in each stage, the geometric mean over stages. Metrics "
            f"that weigh: {weighing or 'none'}."
        )


def _memory(mb: int) -> str:
    return f"{mb / 1024:g} GiB" if mb >= 1024 else f"{mb} MiB"


def _budget(budget: SessionBudget, proxy: Scale | None) -> Iterator[str]:
    if budget.gpu_hours is not None:
        what = "test" if proxy is None else "test or probe"
        yield (
            f"- {budget.gpu_hours:g} GPU hours: the time of a {what}'s runs, times its GPUs. One that is cancelled, "
            f"fails or diverges costs what it used; one that fails for reasons of the service costs nothing. A {what} "
            "begins as long as any are left."
        )
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
