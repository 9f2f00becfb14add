"""The learning-rate schedules as curves."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from types import ModuleType

import pytest

Named = Callable[[str, str], ModuleType]
PEAK, END, WARM, STEPS = 6e-4, 6e-5, 40, 1000


@pytest.mark.parametrize(
    ("name", "level_until", "half_way_down"),
    [
        ("trapezoidal", 600, 0.5),
        ("wsd", 900, 0.1),  # a hundredth is left in the end, so a tenth half-way
        ("wsd_sqrt", 800, 1 - 0.5**0.5),
    ],
)
def test_up_level_and_down(name: str, level_until: int, half_way_down: float, named: Named) -> None:
    get_lr = named("lr-schedule", name).get_lr
    rates = [get_lr(it, PEAK, END, WARM, STEPS) for it in range(STEPS + 1)]
    assert 0 < rates[0] < PEAK / WARM
    assert all(before < after for before, after in pairwise(rates[: WARM + 1]))
    assert rates[WARM : level_until + 1] == pytest.approx([PEAK] * (level_until + 1 - WARM))
    assert all(before > after for before, after in pairwise(rates[level_until:]))
    middle = (level_until + STEPS) // 2
    assert rates[middle] == pytest.approx(END + half_way_down * (PEAK - END))
    assert rates[-1] == END
    assert rates[-2] == pytest.approx(END, abs=0.07 * PEAK)


@pytest.mark.parametrize("name", ["trapezoidal", "wsd", "wsd_sqrt"])
@pytest.mark.parametrize(("peak", "end", "warm", "steps"), [(0.0, 0.0, 0, 1), (1e-3, 0.0, 0, 2), (1e-3, 1e-3, 9, 3)])
def test_extreme_settings_give_rates_too(
    name: str, peak: float, end: float, warm: int, steps: int, named: Named
) -> None:
    get_lr = named("lr-schedule", name).get_lr
    assert all(0 <= get_lr(it, peak, end, warm, steps) <= peak for it in range(steps))
