"""The image that was really built: a whole test at smoke scale, from training to lm-eval, in its sandbox."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from env.lifecycle.plan import plan, spec
from env.store.model import Status, Test
from runner.container.engine import EngineRefusal
from runner.container.runner import DockerRunner
from runner.data import prepare_smoke
from runner.metrics import parse_train_metrics
from runner.protocol import Exit, ExitReason, RunSpec, RunState
from tasks.load import load_tasks
from tests.support.service import TASK

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


def test_the_image_holds_of_ours_only_what_runs_inside(trainer: DockerRunner, finish: Callable[..., RunState]) -> None:
    """Above all not what the smoke data are made with."""
    code = """if True:
        import pathlib, sys, runner.inside.evaluate, runner.inside.rehearse, runner.inside.size, runner.inside.worker
        (root,) = runner.__path__
        print(sorted(path.name for path in pathlib.Path(root).iterdir() if path.name != "__pycache__"))
        print(sorted(path.name for path in pathlib.Path(root).parent.iterdir()))
        for name in ("runner.data", "env", "tasks", "templates", "leaderboard"):
            try:
                __import__(name)
            except ModuleNotFoundError as error:
                assert error.name == name, error
            else:
                sys.exit(name)
    """
    state = finish(trainer, RunSpec("look", ("python", "-P", "-c", code), timeout_s=100), 115)
    assert state.exit == OK, trainer.log("look", "stderr", 0).decode()[-3000:]
    assert trainer.log("look", "stdout", 0).decode() == "['__init__.py', 'inside']\n['runner']\n"


@pytest.mark.timeout(300)
def test_a_smoke_test_trains_and_is_scored(
    trainer: DockerRunner, finish: Callable[..., RunState], tmp_path: Path
) -> None:
    prepare_smoke(tmp_path / "data")
    task = load_tasks(())[TASK]
    scale = task.scales["smoke"]
    test = Test(
        session_id="trial",
        n=1,
        status=Status.RUNNING,
        files={task.filename: task.text},
        created_at=datetime.now(UTC),
    )
    settings = scale.settings | {"MAX_ITERS": "100", "EVAL_TOKENS": "8192", "AUDIT_SAMPLES": "256"}
    planned = plan(scale)
    assert [item.evaluates for item in planned] == [False, True, True]
    wanted = []
    for item in planned:
        upstream = None if item.upstream is None else wanted[item.upstream].run_id
        wanted.append(spec(task, scale, test, item, settings, 0, upstream))
        state = finish(trainer, wanted[-1], 115)
        assert state.exit == OK, trainer.log(wanted[-1].run_id, "stderr", 0).decode()[-3000:]

    training, *evaluations = (one.run_id for one in wanted)
    lines = trainer.log(training, "stdout", 0).decode().splitlines()
    points = [point for point in map(parse_train_metrics, lines) if point is not None]
    assert points[-1].val_loss < 0.7 * points[0].val_loss
    language, downstream = (json.loads(trainer.collect(name, "metrics.json") or b"") for name in evaluations)
    assert {"val_loss", "wikitext2_ppl", "lambada_ppl"} <= language["metrics"].keys()
    assert {"arc_easy", "hellaswag", "piqa", "winogrande"} <= downstream["metrics"].keys()
    assert language["metrics"]["val_loss"] < points[0].val_loss
    assert all(audit["passed"] for found in (language, downstream) for audit in found["audits"])
