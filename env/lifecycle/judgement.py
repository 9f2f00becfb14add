"""What the end of a run means for its test. All of it is pure: no runner, no clock, no database is asked."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from env.lifecycle.report import read_report
from env.store.evaluation import Evaluation
from env.store.model import Status
from runner.inside.names import FINE, UNHEARD, WE_AT_FAULT
from runner.metrics import TrainMetrics
from runner.protocol import Exit, ExitReason

_OUT_OF_MEMORY = re.compile(r"^torch\.(?:cuda\.)?OutOfMemoryError: ", re.MULTILINE)


@dataclass(frozen=True)
class Judgement:
    """What became of a run, and why."""

    status: Status
    reason: str = ""
    """Why it is not `succeeded`, in words; empty where the status says it all."""
    metrics: dict[str, float] = field(default_factory=dict)
    evaluation: Evaluation | None = None


def judge_training(ended: Exit, series: Sequence[TrainMetrics], cancel_requested: bool) -> Judgement:
    """A training run succeeds by ending well: whether it left a usable checkpoint is for the evaluator to find."""
    diverged = next((point for point in series if not point.finite), None)
    if cancel_requested and ended.reason is ExitReason.CANCELLED:
        return Judgement(Status.CANCELLED)
    if diverged is not None and ended.reason in (ExitReason.CANCELLED, ExitReason.EXITED, ExitReason.SIGNALLED):
        return Judgement(Status.DIVERGED, f"loss is not finite at step {diverged.step}; training was stopped early")
    return _judge_exit(ended)


def judge_evaluation(ended: Exit, metrics_file: bytes | None, cancel_requested: bool) -> Judgement:
    """An evaluation succeeds with metrics in its output folder; what it printed does not matter."""
    if cancel_requested and ended.reason is ExitReason.CANCELLED:
        return Judgement(Status.CANCELLED)
    if ended.reason is ExitReason.EXITED and ended.code == WE_AT_FAULT:
        return Judgement(Status.INFRA_FAILED, "the evaluation could not be set up")
    if ended.reason is ExitReason.EXITED and ended.code in UNHEARD:
        return Judgement(Status.FAILED, UNHEARD[ended.code])
    judged = _judge_exit(ended)
    if judged.status is not Status.SUCCEEDED:
        return judged
    report = None if metrics_file is None else read_report(metrics_file)
    if report is None:
        return Judgement(Status.FAILED, "the evaluation wrote no valid metrics.json")
    if report.rejected:
        return Judgement(Status.REJECTED, report.rejected, evaluation=report.evaluation)
    if not all(map(math.isfinite, report.metrics.values())):
        return Judgement(
            Status.DIVERGED, "an evaluated metric is not finite", report.metrics, evaluation=report.evaluation
        )
    return Judgement(Status.SUCCEEDED, metrics=report.metrics, evaluation=report.evaluation)


def out_of_memory(output: str) -> bool:
    """Whether a failed run ended because the GPU's memory was full, by the exception it shows.

    The agent's process can lie about it, and gets no more for it than the same run in smaller pieces.
    """
    return _OUT_OF_MEMORY.search(output) is not None


def _judge_exit(ended: Exit) -> Judgement:
    match ended.reason:
        case ExitReason.EXITED if ended.code == FINE:
            return Judgement(Status.SUCCEEDED)
        case ExitReason.DEADLINE:
            status = Status.TIMED_OUT
        case ExitReason.LOST | ExitReason.CANCELLED:  # a cancel that nobody asked for is ours to answer for
            status = Status.INFRA_FAILED
        case _:
            status = Status.FAILED
    return Judgement(status, ended.in_words())
