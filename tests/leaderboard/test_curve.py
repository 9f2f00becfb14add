"""Fewer points of a loss curve, and the same picture."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from leaderboard.curve import Curve

LOSSES = st.none() | st.floats(0, 20)


@st.composite
def curves(draw: st.DrawFn) -> Curve:
    losses = draw(st.lists(st.tuples(LOSSES, LOSSES), max_size=300))
    return Curve(tuple(range(len(losses))), tuple(t for t, _ in losses), tuple(v for _, v in losses))


@given(curves(), st.integers(8, 120))
def test_extremes_and_both_ends_survive(curve: Curve, points: int) -> None:
    thin = curve.thinned(points)
    assert len(thin.step) == len(thin.train_loss) == len(thin.val_loss) <= max(points, 8)
    assert list(thin.step) == sorted(set(thin.step))
    whole = dict(zip(curve.step, zip(curve.train_loss, curve.val_loss, strict=True), strict=True))
    assert all(whole[step] == (train, val) for step, train, val in zip(*_columns(thin), strict=True))
    if curve.step:
        assert (thin.step[0], thin.step[-1]) == (curve.step[0], curve.step[-1])
    for before, after in ((curve.train_loss, thin.train_loss), (curve.val_loss, thin.val_loss)):
        known, kept = ([loss for loss in losses if loss is not None] for losses in (before, after))
        assert (min(known, default=None), max(known, default=None)) == (
            min(kept, default=None),
            max(kept, default=None),
        )


def test_a_single_spike_among_thousands_survives() -> None:
    val = [3.0] * 9000
    val[4321] = 9.0
    thin = Curve(tuple(range(9000)), (2.0,) * 9000, tuple(val)).thinned(400)
    assert len(thin.step) <= 400
    assert (4321, 9.0) in set(zip(thin.step, thin.val_loss, strict=True))


@given(curves(), st.integers(2, 40))
def test_a_tables_points_are_evenly_spaced(curve: Curve, points: int) -> None:
    some = curve.every(points)
    assert len(some.step) == min(points, len(curve.step))
    gaps = [after - before for before, after in zip(some.step, some.step[1:], strict=False)]
    if gaps:
        assert max(gaps) - min(gaps) <= math.ceil(len(curve.step) / points)
        assert some.step[-1] == curve.step[-1]


def _columns(curve: Curve) -> tuple[tuple[int, ...], tuple[float | None, ...], tuple[float | None, ...]]:
    return curve.step, curve.train_loss, curve.val_loss
