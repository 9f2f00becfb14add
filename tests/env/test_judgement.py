"""How a run's end is judged: pure, so every case is a line."""

from __future__ import annotations

import json
import math

import pytest

from env.lifecycle.judgement import judge_evaluation, judge_training
from env.session import Status
from runner.metrics import TrainMetrics
from runner.protocol import Exit, ExitReason

FINE = TrainMetrics(100, 3.2, 3.3)
LOST_LOSS = TrainMetrics(200, math.nan, 3.3)
DONE = Exit(ExitReason.EXITED, 0)


@pytest.mark.parametrize(
    ("ended", "series", "cancelled", "status"),
    [
        (DONE, [FINE], False, Status.SUCCEEDED),
        (DONE, [], False, Status.SUCCEEDED),
        (Exit(ExitReason.EXITED, 1), [FINE], False, Status.FAILED),
        (Exit(ExitReason.SIGNALLED, 9), [FINE], False, Status.FAILED),
        (Exit(ExitReason.MEMORY), [FINE], False, Status.FAILED),
        (Exit(ExitReason.DEADLINE), [FINE], False, Status.TIMED_OUT),
        (Exit(ExitReason.DEADLINE), [LOST_LOSS], False, Status.TIMED_OUT),
        (Exit(ExitReason.LOST), [FINE], False, Status.INFRA_FAILED),
        (Exit(ExitReason.LOST), [LOST_LOSS], False, Status.INFRA_FAILED),
        (Exit(ExitReason.CANCELLED), [FINE], True, Status.CANCELLED),
        (Exit(ExitReason.CANCELLED), [FINE], False, Status.INFRA_FAILED),
        (Exit(ExitReason.CANCELLED), [FINE, LOST_LOSS], False, Status.DIVERGED),
        (Exit(ExitReason.EXITED, 3), [FINE, LOST_LOSS], False, Status.DIVERGED),
        (DONE, [LOST_LOSS], False, Status.DIVERGED),
        (Exit(ExitReason.EXITED, 0), [FINE], True, Status.SUCCEEDED),  # over before the request reached it
    ],
)
def test_training(ended: Exit, series: list[TrainMetrics], cancelled: bool, status: Status) -> None:
    assert judge_training(ended, series, cancelled).status is status


def test_divergence_names_the_first_step_that_was_not_finite() -> None:
    judged = judge_training(Exit(ExitReason.EXITED, 3), [FINE, LOST_LOSS, TrainMetrics(300, math.inf, 1.0)], False)
    assert "step 200" in judged.reason


def test_an_evaluation_gives_its_metrics() -> None:
    judged = judge_evaluation(DONE, json.dumps({"metrics": {"val_loss": 2.5, "piqa": 60}}).encode(), False)
    assert (judged.status, judged.metrics) == (Status.SUCCEEDED, {"val_loss": 2.5, "piqa": 60.0})


def test_a_metric_that_is_not_finite_diverges() -> None:
    judged = judge_evaluation(DONE, b'{"metrics": {"val_loss": null, "piqa": 50.0}}', False)
    assert judged.status is Status.DIVERGED
    assert math.isnan(judged.metrics["val_loss"])
    assert judged.metrics["piqa"] == 50.0


@pytest.mark.parametrize(
    "written",
    [
        None,
        b"",
        b"not json",
        b"[]",
        b"{}",
        b'{"metrics": []}',
        b'{"metrics": {}}',
        b'{"metrics": {"val_loss": "2.5"}}',
        b'{"metrics": {"val_loss": true}}',
        b'{"metrics": {"val loss": 2.5}}',
        b'{"metrics": {"val_loss": [2.5]}}',
        b'{"metrics": {"val_loss": 1' + b"0" * 400 + b"}}",
        b"\xff\xfe",
        b'{"metrics": ' + b"[" * 100_000,
        json.dumps({"metrics": {f"metric_{number}": 1.0 for number in range(65)}}).encode(),
    ],
)
def test_an_evaluation_without_valid_metrics_fails(written: bytes | None) -> None:
    judged = judge_evaluation(DONE, written, False)
    assert judged.status is Status.FAILED
    assert "metrics.json" in judged.reason


def test_an_evaluation_that_blames_itself_is_not_held_against_the_agent() -> None:
    assert judge_evaluation(Exit(ExitReason.EXITED, 2), None, False).status is Status.INFRA_FAILED


def test_metrics_do_not_rescue_an_evaluation_that_failed() -> None:
    judged = judge_evaluation(Exit(ExitReason.EXITED, 1), b'{"metrics": {"val_loss": 0.0}}', False)
    assert (judged.status, judged.metrics) == (Status.FAILED, {})
