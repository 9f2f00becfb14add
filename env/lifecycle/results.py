"""What came of a test's runs, in words and figures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from env.lifecycle.rejection import rejection
from env.store.model import Run, Status, Test
from leaderboard.board import RunnerClass
from leaderboard.naming import elapsed_column, metric_column

LAST_STEPS = 5


def results(test: Test) -> str:
    """What came of a test: a section for each stage that ran, in order."""
    if not test.runs:
        return "Cancelled before it started." if test.status is Status.CANCELLED else ""
    return "\n\n".join("\n".join(_stage(list(runs))) for _, runs in groupby(test.runs, key=lambda run: run.label))


def saved(test: Test) -> str:
    """The line that says what the leaderboard got: metrics and elapsed seconds of every stage.

    A second one marks figures that are not from a sandbox.
    """
    values: dict[str, float | int] = {}
    for label, runs in groupby(test.runs, key=lambda run: run.label):
        stage = list(runs)
        values |= {metric_column(name, label): round(value, 4) for name, value in stage_metrics(stage).items()}
        values[elapsed_column(label)] = round(sum(run.elapsed_s for run in stage))
    line = f"[Leaderboard] Results saved: {values}"
    mark = "" if test.runner is None else RunnerClass.of(test.runner).mark
    return f"{line}\n[NOTE] {mark.capitalize()}: these figures compare with none from a sandbox." if mark else line


def stage_metrics(runs: Iterable[Run]) -> dict[str, float]:
    """The metrics of all runs of one stage together, by their bare names."""
    return {name: value for run in runs for name, value in run.metrics.items()}


def flat_metrics(test: Test) -> tuple[dict[str, float], dict[str, float]]:
    """A leaderboard row's `<metric>_<label>` values and `elapsed_<label>` seconds."""
    metrics: dict[str, float] = {}
    elapsed: dict[str, float] = {}
    for run in test.runs:
        metrics |= {metric_column(name, run.label): value for name, value in run.metrics.items()}
        key = elapsed_column(run.label)
        elapsed[key] = round(elapsed.get(key, 0.0) + run.elapsed_s, 3)
    return metrics, elapsed


def _stage(runs: list[Run]) -> Iterator[str]:
    label = runs[0].label
    yield f"### {label} ({runs[0].script})"
    for run in runs:
        if run.status is not Status.SUCCEEDED:
            yield from _headline(run)
    yield from (f"[NOTE] {run.note}" for run in runs if run.note)
    series = [point for run in runs for point in run.series]
    if series:
        yield "Training metrics (last steps):"
        yield from (str(point) for point in series[-LAST_STEPS:])
    for run in runs:
        if run.status is not Status.SUCCEEDED and run.output:
            yield run.output
    metrics = stage_metrics(runs)
    if metrics:
        yield f"Final metrics ({label}): {_listed(metrics, label)}"
    for run in runs:
        if run.evaluation is not None and (certificate := run.evaluation.certificate) is not None:
            yield (
                f"Certificate: val_loss {certificate.certified:.4f} within {certificate.error:.4f} "
                f"({certificate.tokens:,} tokens that no process had seen)"
            )


def _headline(run: Run) -> Iterator[str]:
    match run.status:
        case Status.REJECTED:
            yield from rejection(run)
        case Status.DIVERGED:
            yield f"[DIVERGED {run.reason}]"
        case Status.CANCELLED:
            yield "[CANCELLED]"
        case Status.TIMED_OUT:
            yield f"[TIMED OUT {run.reason}]"
        case Status.INFRA_FAILED:
            yield f"[INFRASTRUCTURE FAILURE {run.reason}]"
        case _:
            yield f"[COMMAND FAILED {run.reason}]"


def _listed(metrics: Mapping[str, float], label: str) -> str:
    return ", ".join(f"{metric_column(name, label)}={_figure(value)}" for name, value in metrics.items())


def _figure(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "nan"
