"""References: made once for each scale and data by trusted code, kept whole, and what tests are compared with."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from env.lifecycle.compute import compute, compute_note
from env.lifecycle.plan import exam_data_set, plan, run_id, spec
from env.lifecycle.reference import Reference, ReferenceTable, find, listed, put, recipe
from env.lifecycle.references import References
from env.store.model import Run, Status, Test
from runner.fake.runner import FakeRunner
from runner.protocol import Runner
from tasks.load import load_tasks
from tasks.model import Scale, Task

TASK = "llm-pretrain-normalization"
NOW = datetime(2026, 11, 3, tzinfo=UTC)
MACHINE = {"cpu": "a", "gpus": "none", "torch": "2"}


@pytest.fixture(scope="module")
def tasks() -> dict[str, Task]:
    return load_tasks()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder of which digests are noted."""
    for name, files in (("train", ["train.bin", "dev.bin"]), ("heldout", ["heldout.bin", "lambada.jsonl"])):
        folder = tmp_path / "data" / "smoke" / name
        folder.mkdir(parents=True)
        noted = {"format": 2, "sha256": {file: f"{name}-{file}" for file in files}}
        (folder / "meta.json").write_text(json.dumps(noted))
    return tmp_path / "data"


class Weights(FakeRunner):
    """The fake runner, whose trainings leave a checkpoint."""

    def __init__(self) -> None:
        super().__init__(step_s=0.001)
        self.submitted: list[str] = []

    def submit(self, spec: Any) -> None:
        self.submitted.append(spec.run_id)
        super().submit(spec)

    def collect(self, run_id: str, name: str, limit: int = 1 << 20) -> bytes | None:
        if name == "model.safetensors":
            return b"weights" if run_id.rsplit("-", 2)[1] == "0" else None
        return super().collect(run_id, name, limit)


@pytest.fixture
def runner() -> Weights:
    return Weights()


def ready(data: Path, runner: Runner, task: Task, scale: str = "smoke") -> Reference | None:
    return asyncio.run(References(data, runner).ready(task, task.scales[scale], ("slot-0",), NOW))


def table(scale: Scale, **fields: Any) -> ReferenceTable:
    values: dict[str, Any] = {
        "heldout_loss": 1.9,
        "training_s": 10.0,
        "cpu_s": 8.0,
        "settings": dict(scale.settings),
        "world_size": scale.world_size,
        "seed": scale.seed,
        "machine": MACHINE,
        "ringfence": "1",
        "data": {},
        "script_sha256": "s",
        "checkpoint_sha256": "c",
    }
    return ReferenceTable(**{**values, **fields})


def with_run(label: str, **fields: Any) -> Test:
    run = Run(
        run_id="r",
        position=0,
        label=label,
        script="x.sh",
        status=Status.SUCCEEDED,
        started_at=0.0,
        ended_at=20.0,
        cpu_s=10.0,
    )
    return Test(session_id="s", n=1, status=Status.RUNNING, files={}, created_at=NOW, runs=(replace(run, **fields),))


def test_it_is_made_once_and_whole_and_nothing_of_its_making_stays(
    data: Path, runner: Weights, tasks: dict[str, Task]
) -> None:
    made = ready(data, runner, tasks[TASK])
    assert made is not None
    folder = data / "reference" / made.key
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    about = json.loads((folder / "reference.json").read_text())
    assert isinstance(about["heldout_loss"], float)
    assert (about["seed"], about["world_size"], about["settings"]["N_LAYER"]) == (42, 2, "2")
    assert about["data"] == {
        "smoke/train": {"train.bin": "train-train.bin", "dev.bin": "train-dev.bin"},
        "smoke/heldout": {"heldout.bin": "heldout-heldout.bin"},
    }
    assert folder.stat().st_mode & 0o777 == 0o755
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o644}
    assert runner.submitted == [f"reference-{made.key}-1-{position}-0" for position in (0, 1)]
    assert runner.run_ids() == []
    again = ready(data, runner, tasks[TASK])
    assert again == made == listed(data)[0]
    assert len(runner.submitted) == 2


def test_tasks_of_one_shape_and_data_share_it(data: Path, tasks: dict[str, Task]) -> None:
    found = {made.key for task in tasks.values() if (made := recipe(task, task.scales["smoke"], data)) is not None}
    assert len(found) == 1
    task, scale = tasks[TASK], tasks[TASK].scales["smoke"]
    made = recipe(task, scale, data)
    assert made is not None

    def key(**settings: str) -> str | None:
        other = recipe(task, replace(scale, settings={**scale.settings, **settings}), data)
        return other and other.key

    # A task may train otherwise at a built-in scale; what the loss is a mean over, and the shape, make another.
    assert key(MAX_ITERS="60", GRAD_ACCUM="1", AUDIT_SAMPLES="9", SEED="7") == made.key
    assert len({made.key, key(EVAL_TOKENS="8192"), key(N_LAYER="3"), key(VOCAB_SIZE="300")}) == 4
    (data / "smoke/heldout/meta.json").write_text(json.dumps({"sha256": {"heldout.bin": "other"}}))
    assert key() != made.key


def test_a_script_of_an_operators_own_and_data_without_digests_have_none(
    data: Path, runner: Weights, tasks: dict[str, Task]
) -> None:
    task = tasks[TASK]
    assert ready(data, runner, replace(task, text="print(1)\n")) is None
    assert ready(data, runner, task, "gpt-345m") is None
    (data / "smoke/train/meta.json").unlink()
    assert ready(data, runner, task) is None
    assert runner.submitted == []


def test_a_failure_leaves_tests_without_it_and_is_not_repeated(
    data: Path, tasks: dict[str, Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = Weights()
    monkeypatch.setattr(runner, "collect", lambda *_: None)
    references = References(data, runner)
    task = tasks[TASK]

    async def twice() -> list[Reference | None]:
        return [await references.ready(task, task.scales["smoke"], ("slot-0",), NOW) for _ in range(2)]

    assert asyncio.run(twice()) == [None, None]
    assert len(runner.submitted) == 2
    assert listed(data) == []
    assert runner.run_ids() == []


def test_two_services_on_one_data_folder_make_it_once(data: Path, tasks: dict[str, Task]) -> None:
    runners = [Weights() for _ in range(3)]
    made: list[Reference | None] = []
    threads = [threading.Thread(target=lambda one=one: made.append(ready(data, one, tasks[TASK]))) for one in runners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made[0] is not None
    assert made == [made[0]] * 3
    assert sorted(len(one.submitted) for one in runners) == [0, 0, 2]


def test_what_is_not_whole_is_no_reference(data: Path, tasks: dict[str, Task]) -> None:
    task = tasks[TASK]
    wanted = recipe(task, task.scales["smoke"], data)
    assert wanted is not None
    put(data, wanted.key, table(task.scales["smoke"]), b"weights")
    folder = data / "reference" / wanted.key
    assert find(wanted, data) is not None
    put(data, wanted.key, table(task.scales["smoke"], heldout_loss=0.1), b"others")
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    (folder / "reference.json").write_text('{"heldout_loss": "low"}')
    assert find(wanted, data) is None
    shutil.rmtree(folder)
    assert find(wanted, data) is None


def test_an_evaluation_has_the_exam_and_the_reference_and_nothing_else_has(tasks: dict[str, Task]) -> None:
    task, scale = tasks[TASK], tasks[TASK].scales["smoke"]
    assert exam_data_set(scale) == "smoke"
    assert exam_data_set(task.scales["gpt-345m"]) == "fineweb10b"
    test = replace(with_run("gpt-smoke"), files={task.filename: "agent's"})
    reference = Reference(key="k" * 32, table=table(scale))
    for item in plan(scale):
        upstream = None if item.upstream is None else run_id("s", 1, item.upstream, 0)
        bare = spec(task, scale, test, item, scale.settings, 0, upstream)
        made = spec(task, scale, test, item, scale.settings, 0, upstream, reference)
        if item.position != 1:
            assert made == bare
            assert (made.exam, "REFERENCE" in made.env) == (None, False)
            continue
        assert (bare.exam, bare.env.get("REFERENCE"), len(bare.workers)) == ("smoke", None, 2)
        assert (made.exam, made.env["REFERENCE"], made.data["REFERENCE_DIR"]) == (
            *("smoke", "1"),
            f"reference/{'k' * 32}",
        )
        assert made.workers[:2] == bare.workers
        assert made.workers[2].run_id == f"{made.run_id}.reference"
        assert set(made.workers[2].files) == {"custom_pretrain.py"}
        assert "agent's" not in made.workers[2].files.values()
        assert made.workers[2].env["SCRIPT"] == "custom_pretrain.py"


def test_compute_is_processor_time_on_cpus_and_time_on_gpus(tasks: dict[str, Task]) -> None:
    small, large = (tasks[TASK].scales[name] for name in ("smoke", "gpt-345m"))
    reference = Reference(key="k", table=table(small))
    used = compute(with_run("gpt-smoke"), small, reference, MACHINE)
    assert (used.ratio, used.measure, used.used_s, used.reference_s) == (1.25, "cpu", 10.0, 8.0)
    assert compute_note(used) == ""
    more = compute(with_run("gpt-smoke", cpu_s=10.1), small, reference, MACHINE)
    assert "took 1.26 times the processor time of the unedited script" in compute_note(more)

    on_gpus = Reference(key="k", table=table(large, cpu_s=None))
    used = compute(with_run("gpt-345m", cpu_s=None), large, on_gpus, MACHINE)
    assert (used.ratio, used.measure) == (2.0, "wall")
    # The same tokens in other batches, to within what the numbers of steps round to.
    other = tasks["llm-pretrain-linear-attention"].scales["gpt-345m"]
    used = compute(with_run("gpt-345m"), other, on_gpus, MACHINE)
    assert used.ratio == pytest.approx(2.0, abs=0.001)


def test_compute_says_why_it_is_not_known(tasks: dict[str, Task]) -> None:
    scale = tasks[TASK].scales["smoke"]
    reference = Reference(key="k", table=table(scale))
    label = "gpt-smoke"

    def why(test: Test, reference: Reference | None = reference, scale: Scale = scale, **machine: str) -> str:
        used = compute(test, scale, reference, {**MACHINE, **machine})
        assert used.ratio is None
        assert compute_note(used) == ""
        return used.why_not

    assert "no reference" in why(with_run(label), None)
    assert "came to its end" in why(with_run(label, status=Status.TIMED_OUT))
    assert "did not count" in why(with_run(label, cpu_s=None))
    assert "other hardware" in why(with_run(label), cpu="b")
    fewer = replace(scale, settings={**scale.settings, "MAX_ITERS": "60"})
    assert "other settings" in why(with_run(label), scale=fewer)
