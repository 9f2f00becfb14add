"""Anchors: made from measurements, written, read back, and refused when they make no sense."""

from __future__ import annotations

from datetime import date

import pytest

from env.operators.measure.anchors import anchor
from env.operators.measure.spread import Measured
from tasks.anchors import ProvenanceTable, ScaleAnchors, load_anchors, write_anchors
from tasks.errors import TaskError
from tasks.load import find_tasks, load_task

LOSS = Measured("val_loss", "gpt-smoke", {"template": (2.54, 2.66), "rope": (2.3, 2.3), "qk_norm": (2.35, 2.45)})


def measured(version: str, *metrics: Measured, relative: bool = False) -> ScaleAnchors:
    about = ProvenanceTable(
        date=date(2026, 11, 21), ringfence="0.1", runner="docker", hardware='a "fast" one', torch="2.9"
    )
    return ScaleAnchors(
        task_version=version,
        question="1" * 64,
        relative=relative,
        data=["2" * 64],
        seeds=[42, 43],
        provenance=about,
        metrics=[anchor(one) for one in metrics],
    )


def test_the_worst_mean_is_the_floor_and_the_best_the_reference() -> None:
    loss = anchor(LOSS)
    assert (loss.better, loss.floor, loss.ref, loss.bound) == ("lower", pytest.approx(2.6), 2.3, 0.0)
    accuracy = anchor(Measured("piqa", "lm-eval", {"template": (60.0,), "rope": (62.0,)}))
    assert (accuracy.better, accuracy.floor, accuracy.ref, accuracy.bound) == ("higher", 60.0, 62.0, 100.0)
    assert anchor(Measured("lambada_ppl", "a", {"x": (9.0,), "y": (8.0,)})).bound == 1.0


def test_noise_is_that_of_the_best_baseline_and_the_unedited_file() -> None:
    # Variances 0 and 0.0072, each of one degree of freedom.
    assert anchor(LOSS).noise == pytest.approx(0.06)
    assert anchor(Measured("val_loss", "a", {"x": (2.0,), "y": (3.0,)})).noise is None


def test_a_metric_that_tells_no_baselines_apart_weighs_nothing() -> None:
    assert anchor(LOSS).weight == 1.0
    assert anchor(Measured("val_loss", "a", {"x": (2.0,), "y": (3.0,)})).weight == 1.0
    lucky = Measured("piqa", "a", {"x": (50.0, 58.0), "y": (54.0, 60.0)})
    assert anchor(lucky).weight == 0.0
    assert anchor(Measured("piqa", "a", {"x": (50.0, 50.0), "y": (50.0, 50.0)})).weight == 0.0


def test_a_metric_that_does_not_rank_has_to_tell_them_apart_in_one_test() -> None:
    """Deviations of 1 and means of sixteen tests that are 2 apart: 5.7 standard errors, 2 standard deviations."""
    values = {"x": (1.0, -1.0) * 8, "y": (3.0, 1.0) * 8}
    assert anchor(Measured("val_loss", "a", values)).weight == 1.0
    assert anchor(Measured("lambada_ppl", "a", values)).weight == 0.0


def test_a_metric_whose_best_baseline_touches_its_bound_weighs_nothing() -> None:
    assert anchor(Measured("piqa", "a", {"x": (50.0, 50.1), "y": (99.0, 99.0)})).weight == 1.0
    assert anchor(Measured("piqa", "a", {"x": (50.0, 50.1), "y": (99.0, 100.0)})).weight == 0.0
    assert anchor(Measured("piqa", "a", {"x": (50.0, 50.1), "y": (100.0, 100.0)})).weight == 0.0
    # Relative figures: at 0 is the unedited file, and no bound.
    assert anchor(Measured("val_loss", "a", {"template": (0.0, 0.0, 0.0), "y": (1.0, 1.1, 1.2)}, 3)).weight == 1.0


def test_what_is_written_is_read_again_beside_the_other_scales(write_task) -> None:
    folder = write_task({})
    version = load_task(folder).version
    small, large = measured(version, LOSS), measured("0" * 64, Measured("piqa", "x", {"a.b": (1.0, 2.0)}))
    write_anchors(folder, "gpt-1.5b", large)
    write_anchors(folder, "smoke", large)
    write_anchors(folder, "smoke", small)
    assert load_anchors(folder) == {"gpt-1.5b": large, "smoke": small}
    assert load_task(folder).version == version
    assert find_tasks([folder])["my-task"].anchors["smoke"] == small


def test_relative_anchors_are_written_and_read_too(write_task) -> None:
    folder = write_task({})
    figures = Measured("val_loss", "a", {"template": (0.1, -0.1, 0.0), "rope": (-0.5, -0.4, -0.6)}, 3)
    relative = measured("0" * 64, figures, relative=True)
    write_anchors(folder, "smoke", relative)
    assert load_anchors(folder) == {"smoke": relative}
    assert relative.metrics[0].ref < 0.0 == relative.metrics[0].bound


def test_files_from_before_anchors_named_their_data_can_be_read(write_task) -> None:
    folder = write_task({})
    file = write_anchors(folder, "smoke", measured("0" * 64, LOSS))
    old = [line for line in file.read_text().splitlines() if not line.startswith(("question", "relative", "data"))]
    file.write_text("\n".join(old))
    anchors = load_anchors(folder)["smoke"]
    assert (anchors.question, anchors.relative, anchors.data) == (None, False, [])


def test_a_task_without_the_file_has_no_anchors(write_task) -> None:
    assert load_anchors(write_task({})) == {}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("floor = 2.6", "floor = 1.0", "where lower is better, floor >= ref >= bound is required"),
        ("floor = 2.6", "floor = nan", "scales.smoke.metrics[0].floor"),
        ('better = "lower"', 'better = "faster"', "must be 'lower' or 'higher'"),
        ("weight = 1.0", "wieght = 1.0", "did you mean weight?"),
        ("weight = 1.0", "weight = -1.0", "must be at least 0"),
        ("seeds = [42, 43]", "", "scales.smoke.seeds: is required"),
        ("task_version = ", "version = ", "unknown key; did you mean task_version?"),
    ],
)
def test_mistakes_are_told_by_file_and_key(write_task, old: str, new: str, told: str) -> None:
    folder = write_task({})
    file = write_anchors(folder, "smoke", measured("0" * 64, LOSS))
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    with pytest.raises(TaskError) as raised:
        find_tasks([folder])
    assert told in str(raised.value)
    assert str(file) in str(raised.value)
