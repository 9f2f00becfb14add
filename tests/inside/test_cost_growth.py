"""How the judge comes to know a model's cost, in a whole evaluation beside real workers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from runner.inside.faults import ModelFault
from runner.inside.judge.cost_growth import CostGrowth, measure_cost_growth
from runner.inside.judge.worker_client import ModelClient
from runner.inside.model_worker.worker import Worker
from runner.inside.settings import ModelSettings

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


def test_a_model_that_cannot_be_that_long_is_told_so(growth: Callable[..., Growth]) -> None:
    found = growth(f"{MIXED} if x.size(1) < 300 else x.view(-1, 7)")
    assert found["subquadratic"] is None
    assert "counting the model's operations failed: RuntimeError" in found["why_not"]
    assert found["operations"] == []


def test_nothing_is_measured_where_nobody_asks(growth: Callable[..., Growth | None]) -> None:
    assert growth(COST_GROWTH="") is None


def test_a_model_on_another_device_is_counted_in_a_twin_with_its_weights(
    make_bench: Callable[[str], Bench], tiny_script: str
) -> None:
    """There is no GPU here: the worker is told that its model is on one."""
    bench = make_bench(tiny_script)
    bench.env["BLOCK_SIZE"] = "1024"
    bench.save_checkpoint()
    settings = bench.settings.model
    worker = Worker(bench.script, bench.checkpoint.read_bytes(), settings)
    tokens = np.random.default_rng(1).integers(256, size=(1, 512)).astype(np.int32)
    (plain,) = worker.answer("distribution", [tokens, np.array([(0, 511)], dtype=np.int32)])
    own, operations = worker.count_operations(tokens, 1024, "cpu")
    worker._settings = replace(settings, device="cuda", dtype="bfloat16")
    again, as_many = worker.count_operations(tokens, 1024, "cpu")
    assert worker._counted is not None
    assert worker._counted[1] is not worker._model
    assert np.array_equal(own, plain)
    assert np.array_equal(again, plain)
    assert operations == as_many


class Beside:
    """A worker in this process, asked as over the wire."""

    def __init__(self, bench: Bench) -> None:
        self._worker = Worker(bench.script, bench.checkpoint.read_bytes(), bench.settings.model)

    def count_operations(self, tokens: Any, block_size: int, device: str) -> tuple[Any, float]:
        logprobs, operations = self._worker.count_operations(tokens, block_size, device)
        return logprobs, float(operations[0])

    def distribution(self, tokens: Any, places: Any) -> Any:
        (logprobs,) = self._worker.answer("distribution", [tokens, places])
        return logprobs


@pytest.fixture
def trained(make_bench: Callable[[str], Bench], tiny_script: str) -> Callable[[str], CostGrowth]:
    """The growth of a checkpoint whose context is as long as the longest input."""

    def of(mixing: str) -> CostGrowth:
        bench = make_bench(tiny_script.replace(MIXED, mixing))
        bench.env["BLOCK_SIZE"] = "1024"
        bench.save_checkpoint()
        worker = cast(ModelClient, Beside(bench))
        return measure_cost_growth(worker, bench.settings.model, np.random.default_rng(0))

    return of


def test_a_checkpoint_whose_context_is_long_enough_is_counted_itself(trained: Callable[[str], CostGrowth]) -> None:
    found = trained(COMPARED)
    assert (found.subquadratic, found.trained, found.device) == (False, True, "cpu")


def test_other_answers_while_it_is_counted_are_no_measurement(trained: Callable[[str], CostGrowth]) -> None:
    found = trained(
        f"({COMPARED} if not torch.utils._python_dispatch._get_current_dispatch_mode() else {MIXED} * 0 + 9)"
    )
    assert found.subquadratic is None
    assert found.why_not == "the model answers otherwise while it is counted"


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_compiled_code_is_counted_as_it_was_written(make_bench: Callable[[str], Bench], tiny_script: str) -> None:
    compiled = tiny_script.replace(MIXED, "compared(x)").replace(
        "@dataclass", f"compared = torch.compile(lambda x: {COMPARED})\n\n@dataclass", 1
    )
    bench = make_bench(compiled)
    bench.save_checkpoint()
    worker = cast(ModelClient, Beside(bench))
    found = measure_cost_growth(worker, bench.settings.model, np.random.default_rng(0))
    assert (found.subquadratic, found.why_not) == (False, "")


class Asked:
    """Stands for a worker with a GPU: `of` says what it counts, or raises."""

    def __init__(self, of: Callable[[str, int], float]) -> None:
        self._of = of
        self.devices: list[str] = []

    def count_operations(self, tokens: Any, block_size: int, device: str) -> tuple[Any, float]:
        assert block_size == 1024
        self.devices.append(device)
        return np.log(np.full((1, 256), 1 / 256)), self._of(device, tokens.shape[1])

    def distribution(self, tokens: Any, places: Any) -> Any:
        assert places.tolist() == [[0, tokens.shape[1] - 1]]
        return np.log(np.full((1, 256), 1 / 256))


ON_GPU = ModelSettings(
    n_layer=24, n_head=16, n_embd=1024, block_size=1024, vocab_size=256, bias=False, seed=1, device="cuda",
    dtype="bfloat16",
)  # fmt: skip


def quadratic(length: int) -> float:
    return 6e8 * length + 4 * 24 * 1024 * length**2


def test_kernels_that_a_gpu_hides_are_counted_on_the_cpu() -> None:
    worker = Asked(lambda device, length: quadratic(length) if device == "cpu" else 6e8 * length)
    found = measure_cost_growth(cast(ModelClient, worker), ON_GPU, np.random.default_rng(0))
    assert (found.subquadratic, found.device, set(worker.devices)) == (False, "cpu", {"cpu"})


def test_a_script_for_gpus_only_is_counted_there() -> None:
    def of(device: str, length: int) -> float:
        if device == "cpu":
            raise ModelFault("needs a GPU")
        return 6e8 * length

    worker = Asked(of)
    found = measure_cost_growth(cast(ModelClient, worker), ON_GPU, np.random.default_rng(0))
    assert (found.subquadratic, found.device, worker.devices) == (True, "cuda", ["cpu", "cuda", "cuda", "cuda"])
