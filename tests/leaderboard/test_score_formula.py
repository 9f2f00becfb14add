"""Scores against worked values, and what they must never be."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaderboard.board import data_key
from leaderboard.score_formula import Anchor, ScoreFormula

WORKED = Anchor(metric="acc_x", stage="x", floor=0.91903, ref=0.974809, bound=1.0)
LOSS = Anchor(metric="val_loss_a", stage="a", floor=2.5, ref=2.3, bound=0.0, noise=0.01)
FINITE = st.floats(-1e6, 1e6)


def anchors(*each: Anchor) -> ScoreFormula:
    return ScoreFormula("v1", "smoke", each)


def test_the_worked_value() -> None:
    assert WORKED.score(0.940328) == pytest.approx(0.08342371142961486, rel=1e-12)


@pytest.mark.parametrize(("value", "score"), [(2.5, 0.0), (2.3, 0.5), (0.0, 1.0), (2.6, 0.0), (-1.0, 1.0)])
def test_floor_best_baseline_and_bound_where_lower_is_better(value: float, score: float) -> None:
    assert LOSS.score(value) == pytest.approx(score)


@given(FINITE, FINITE)
def test_a_lower_loss_never_scores_less(one: float, other: float) -> None:
    low, high = sorted((one, other))
    better, worse = LOSS.score(low), LOSS.score(high)
    assert better is not None
    assert worse is not None
    assert 0 <= worse <= better <= 1


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_has_no_score(value: float) -> None:
    assert LOSS.score(value) is None
    assert LOSS.advantage(value) is None
    assert anchors(LOSS).score({"val_loss_a": value}) is None


@pytest.mark.parametrize(
    ("floor", "ref", "bound"), [(2.5, 2.5, 0.0), (2.5, 0.0, 0.0), (2.5, 2.5, 2.5), (2.5, 2.6, 0.0), (2.5, -1.0, 0.0)]
)
def test_anchors_that_are_not_three_values_in_order_score_nothing(floor: float, ref: float, bound: float) -> None:
    assert Anchor(metric="m_a", stage="a", floor=floor, ref=ref, bound=bound).score(2.4) is None


def test_weighted_mean_within_a_stage_and_geometric_mean_over_stages() -> None:
    # With ref half-way the exponent is 1: a score is the share of the way from floor to bound.
    straight = [
        Anchor(metric=f"m{n}_{stage}", stage=stage, floor=0, ref=50, bound=100, weight=weight)
        for n, stage, weight in _WEIGHTED
    ]
    metrics = {"m1_a": 20.0, "m2_a": 60.0, "m3_b": 90.0}
    assert anchors(*straight).score(metrics) == pytest.approx(math.sqrt((3 * 0.2 + 0.6) / 4 * 0.9))
    assert anchors(*straight).score({**metrics, "m3_b": 0.0}) == 0.0


_WEIGHTED = [(1, "a", 3.0), (2, "a", 1.0), (3, "b", 0.5)]


def test_a_missing_metric_leaves_no_score_unless_it_weighs_nothing() -> None:
    light = Anchor(metric="ppl_a", stage="a", floor=50, ref=50, bound=1, weight=0)
    assert (
        anchors(LOSS, Anchor(metric="ppl_a", stage="a", floor=50, ref=40, bound=1)).score({"val_loss_a": 2.3}) is None
    )
    assert anchors(LOSS, light).score({"val_loss_a": 2.3}) == pytest.approx(0.5)
    assert anchors(light).score({"ppl_a": 3.0}) is None
    assert anchors().score({"val_loss_a": 2.3}) is None


def test_the_difference_to_the_best_baseline_in_units_of_noise() -> None:
    assert anchors(LOSS).delta_noise({"val_loss_a": 2.27}) == pytest.approx(3.0)
    assert anchors(LOSS).delta_noise({"val_loss_a": 2.31}) == pytest.approx(-1.0)
    assert anchors(WORKED, LOSS).delta_noise({"val_loss_a": 2.27}) == pytest.approx(3.0)
    assert anchors(WORKED).delta_noise({"acc_x": 1.0}) is None
    assert anchors().delta_noise({}) is None


def test_anchors_survive_storing() -> None:
    both = anchors(LOSS, WORKED)
    assert ScoreFormula.from_json(both.to_json()) == both


def test_formulas_stored_before_they_named_their_data_can_be_read() -> None:
    assert ScoreFormula.from_json('{"task_version": "v1", "scale": "smoke", "anchors": []}').data == ""


def test_data_is_the_same_where_training_and_held_out_data_are() -> None:
    digests: dict[str, dict[str, str | None]] = {"training": {"t": "1"}, "held_out": {"h": "2"}}
    key = data_key(digests)
    assert key == data_key({**digests, "reserve": {"r": "3"}})
    assert len({key, data_key({**digests, "training": {"t": "2"}}), data_key({**digests, "held_out": {"h": "1"}})}) == 3
    assert data_key({**digests, "training": {"t": None}}) is None
    assert data_key({**digests, "held_out": {}}) is None
    assert data_key({}) is None
