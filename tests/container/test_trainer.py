"""The image that was really built: a whole test at smoke scale, from training to lm-eval, in its sandbox."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.container.engine import EngineRefusal
from runner.container.runner import DockerRunner
from runner.data import prepare_smoke
from runner.metrics import parse_train_metrics
from runner.protocol import Exit, ExitReason, RunSpec, RunState
from tasks.load import load_tasks

pytestmark = [pytest.mark.docker, pytest.mark.slow]

OK = Exit(ExitReason.EXITED, 0)


@pytest.fixture
def trainer(contain: Callable[..., DockerRunner]) -> DockerRunner:
    try:
        return contain(image=os.environ.get("RINGFENCE_IMAGE", "ringfence-trainer"), binds={}, environment={}, cpus=2)
    except EngineRefusal as refusal:
        if os.environ.get("RINGFENCE_REQUIRE_DOCKER"):
            raise
        pytest.skip(str(refusal))


def test_a_smoke_test_trains_and_is_scored(
    trainer: DockerRunner, finish: Callable[..., RunState], tmp_path: Path
) -> None:
    prepare_smoke(tmp_path / "data")
    task = load_tasks(())["llm-pretrain-normalization"]
    scale = task.scales["smoke"]
    training, downstream = scale.stages

    def run(run_id: str, command: tuple[str, ...], upstream: str | None = None) -> None:
        spec = RunSpec(
            run_id,
            command,
            files={task.filename: task.text, **{stage.script: stage.script_text for stage in scale.stages}},
            env={**scale.settings, "SCRIPT": task.filename, "WORLD_SIZE_EXPECTED": str(scale.world_size)},
            data=scale.data if upstream is None else scale.evaluation_data,
            upstream=upstream,
            devices=scale.world_size,
            timeout_s=110,
            memory_mb=scale.memory_mb,
        )
        state = finish(trainer, spec, 115)
        assert state.exit == OK, trainer.log(run_id, "stderr", 0).decode()[-3000:]

    run("train", ("bash", training.script))
    lines = trainer.log("train", "stdout", 0).decode().splitlines()
    points = [point for point in map(parse_train_metrics, lines) if point is not None]
    assert points[-1].val_loss < 0.7 * points[0].val_loss

    run("score", ("python", "-P", "-m", "runner.inside.evaluate", "language-modelling"), upstream="train")
    run("lm-eval", ("bash", downstream.script), upstream="train")
    scored = [json.loads(trainer.collect(name, "metrics.json") or b"")["metrics"] for name in ("score", "lm-eval")]
    assert {"val_loss", "wikitext2_ppl", "lambada_ppl"} <= scored[0].keys()
    assert {"arc_easy", "hellaswag", "piqa", "winogrande"} <= scored[1].keys()
    assert scored[0]["val_loss"] < points[0].val_loss
