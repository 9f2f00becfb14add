"""What is noted of a training that says, or takes, something else than a training of its scale should."""

from __future__ import annotations

import math

import pytest

from env.lifecycle.progress import MAX_POINTS
from env.lifecycle.selfreport import expected_steps, gap_note, last_step, slow_note, start_note, steps_note
from runner.metrics import TrainMetrics
from tasks.load import load_tasks
from tasks.model import Stage
from tests.support.service import TASK

BYTES = {"VOCAB_SIZE": "256"}
SIXTY = {"MAX_ITERS": "60"}


def points(*losses: tuple[int, float]) -> list[TrainMetrics]:
    return [TrainMetrics(step, 1.0, loss) for step, loss in losses]


@pytest.mark.parametrize(
    ("series", "noted"),
    [
        (points((0, 5.37), (200, 2.7)), False),  # as seen: 0.18 below ln 256 = 5.55
        (points((0, 4.6)), False),
        (points((0, 4.5)), True),
        (points((0, -3.0)), True),
        (points((20, 1.0)), False),  # nothing was said of the beginning
        (points((0, math.nan)), False),
        ([], False),
    ],
)
def test_a_training_that_knows_its_data_beforehand_is_noted(series: list[TrainMetrics], noted: bool) -> None:
    note = start_note(series, BYTES)
    assert bool(note) is noted
    if noted:
        assert "ln(256) = 5.5452" in note


def test_without_a_vocabulary_nothing_is_said_of_the_beginning() -> None:
    assert start_note(points((0, 0.0)), {}) == start_note(points((0, 0.0)), {"VOCAB_SIZE": "many"}) == ""


@pytest.mark.parametrize(
    ("last", "measured", "noted"),
    [
        (2.68, 2.77, False),  # as seen
        (2.66, 2.81, False),  # as seen, with another seed
        (2.2, 2.7, False),
        (2.19, 2.7, True),
        (2.7, 0.1, False),  # modest
        (math.nan, 2.7, False),
        (2.0, math.nan, False),
    ],
)
def test_a_report_far_below_what_was_measured_is_noted(last: float, measured: float, noted: bool) -> None:
    assert bool(gap_note(points((0, 5.5), (200, last)), {"val_loss": measured})) is noted


def test_without_a_report_or_a_loss_there_is_no_gap() -> None:
    assert gap_note([], {"val_loss": 2.7}) == gap_note(points((0, 1.0)), {"piqa": 60.0}) == ""


def test_a_training_of_other_steps_than_its_scale_is_noted() -> None:
    note = steps_note(points((0, 5.5), (180, 2.6)), SIXTY)
    assert note.startswith(
        "The training's last report is of step 180, where every training of this scale ends at step 60."
    )
    assert "of step 40," in steps_note(points((0, 5.5), (40, 2.9)), SIXTY)
    assert steps_note(points((0, 5.5), (60, 2.8)), SIXTY) == ""


def test_without_a_report_or_a_setting_nothing_is_said_of_steps() -> None:
    assert (
        steps_note([], SIXTY)
        == steps_note(points((7, 1.0)), {})
        == steps_note(points((7, 1.0)), {"MAX_ITERS": "x"})
        == ""
    )
    assert (last_step([]), expected_steps({}), expected_steps(SIXTY)) == (None, None, 60)


def test_of_more_reports_than_are_kept_the_last_is_not_known() -> None:
    many = points(*((step, 2.0) for step in range(MAX_POINTS)))
    assert last_step(many[:-1]) == MAX_POINTS - 2
    assert last_step(many) is None


def test_a_training_that_used_up_half_the_room_for_slower_methods_is_noted() -> None:
    full, smoke = (load_tasks(())[TASK].scales[name].stages[0] for name in ("gpt-345m", "smoke"))
    assert slow_note(1.4 * 19300, full) == ""
    assert slow_note(1.6 * 19300, full).startswith(
        "The training took 30880 s, 1.6 times the 19300 s of the unedited script."
    )
    assert slow_note(3 * 8, smoke) == ""  # as slow as that two shared cores are without any reason
    assert "12.0 times" in slow_note(12 * 8, smoke)


def test_where_nobody_knows_how_long_it_takes_nothing_is_slow() -> None:
    assert slow_note(1e6, Stage(label="gpt", script="gpt.sh", script_text="")) == ""
