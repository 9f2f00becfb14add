"""Anchors: made from measurements, written, read back, and refused when they make no sense."""

from __future__ import annotations

from datetime import date

import pytest

from env.operators.measure.anchors import Measured, anchor
from tasks.anchors import ProvenanceTable, ScaleAnchors, load_anchors, write_anchors
from tasks.errors import TaskError
from tasks.load import find_tasks, load_task

LOSS = Measured("val_loss", "gpt-smoke", {"template": (2.5, 2.7), "rope": (2.3, 2.3), "qk_norm": (2.4, 2.4)})


def measured(version: str, *metrics: Measured) -> ScaleAnchors:
    about = ProvenanceTable(
        date=date(2026, 11, 21), ringfence="0.1", runner="docker", hardware='a "fast" one', torch="2.9"
    )
    return ScaleAnchors(
        task_version=version, seeds=[42, 43], provenance=about, metrics=[anchor(one) for one in metrics]
    )


def test_the_worst_mean_is_the_floor_and_the_best_the_reference() -> None:
    loss = anchor(LOSS)
    assert (loss.better, loss.floor, loss.ref, loss.bound) == ("lower", pytest.approx(2.6), 2.3, 0.0)
    accuracy = anchor(Measured("piqa", "lm-eval", {"template": (60.0,), "rope": (62.0,)}))
    assert (accuracy.better, accuracy.floor, accuracy.ref, accuracy.bound) == ("higher", 60.0, 62.0, 100.0)
    assert anchor(Measured("lambada_ppl", "a", {"x": (9.0,), "y": (8.0,)})).bound == 1.0


def test_noise_is_pooled_over_the_baselines_and_unknown_from_one_seed() -> None:
    # Variances 0.02, 0 and 0, each of one degree of freedom.
    assert anchor(LOSS).noise == pytest.approx((0.02 / 3) ** 0.5)
    assert anchor(Measured("val_loss", "a", {"x": (2.0,), "y": (3.0,)})).noise is None


def test_a_metric_that_tells_no_baselines_apart_weighs_nothing() -> None:
    assert anchor(LOSS).weight == 1.0
    assert anchor(Measured("val_loss", "a", {"x": (2.0,), "y": (3.0,)})).weight == 1.0
    lucky = Measured("piqa", "a", {"x": (50.0, 58.0), "y": (54.0, 60.0)})
    assert anchor(lucky).weight == 0.0
    assert anchor(Measured("piqa", "a", {"x": (50.0, 50.0), "y": (50.0, 50.0)})).weight == 0.0


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
