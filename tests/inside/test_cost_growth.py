"""How the judge comes to know a model's cost, in a whole evaluation beside real workers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from tests.inside.conftest import Bench

MIXED = "x.cumsum(1)"
COMPARED = "(x @ x.transpose(1, 2)).tril() @ x"
Growth = Mapping[str, Any]


@pytest.fixture
def growth(make_bench: Callable[[str], Bench], tiny_script: str) -> Callable[..., Growth | None]:
    """What the report says of a script's growth: of the tiny one with something else for its sum over positions."""

    def of(mixing: str = MIXED, **env: str) -> Growth | None:
        bench = make_bench(tiny_script.replace(MIXED, mixing))
        bench.env.update({"COST_GROWTH": "1", **env})
        np.zeros(3000, dtype="<u2").tofile(bench.data / "heldout.bin")
        bench.save_checkpoint()
        ended = bench.evaluate()
        assert ended.returncode == 0, ended.stderr
        found: Growth | None = json.loads((bench.root / "out" / "metrics.json").read_text()).get("cost_growth")
        return found

    return of


def test_a_sum_over_positions_is_subquadratic(growth: Callable[..., Growth]) -> None:
    found = growth()
    assert found["lengths"] == [256, 512, 1024]
    assert found["operations"][2] == pytest.approx(4 * found["operations"][0], rel=0.01)
    assert (found["subquadratic"], found["exponent"], found["trained"]) == (True, None, False)


def test_all_pairs_of_positions_are_not(growth: Callable[..., Growth]) -> None:
    found = growth(COMPARED)
    assert (found["subquadratic"], found["exponent"]) == (False, pytest.approx(2, abs=0.01))
    assert found["beside_softmax"] == pytest.approx(1, abs=0.2)


def test_a_checkpoint_whose_context_is_long_enough_is_counted_itself(growth: Callable[..., Growth]) -> None:
    found = growth(COMPARED, BLOCK_SIZE="1024", EVAL_TOKENS="100")
    assert (found["subquadratic"], found["trained"]) == (False, True)


def test_other_answers_while_it_is_counted_are_no_measurement(growth: Callable[..., Growth]) -> None:
    watched = f"({COMPARED} if not torch.utils._python_dispatch._get_current_dispatch_mode() else {MIXED} * 0 + 9)"
    found = growth(watched, BLOCK_SIZE="1024", EVAL_TOKENS="100")
    assert found["subquadratic"] is None
    assert found["why_not"] == "the model answers otherwise while it is counted"


def test_a_model_that_cannot_be_that_long_is_told_so(growth: Callable[..., Growth]) -> None:
    found = growth(f"{MIXED} if x.size(1) < 300 else x.view(-1, 7)")
    assert found["subquadratic"] is None
    assert "counting the model's operations failed: RuntimeError" in found["why_not"]
    assert found["operations"] == []


def test_nothing_is_measured_where_nobody_asks(growth: Callable[..., Growth | None]) -> None:
    assert growth(COST_GROWTH="") is None
