"""The unedited file is measured once for each data, while nobody needs devices, and what waited for it is scored."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from env.lifecycle.unedited import SEEDS
from env.operators.measure.anchors import anchor
from env.operators.measure.play import BaselineTest, play, running
from env.operators.measure.spread import Measured
from env.service import measuring
from env.service.service import Service, build
from env.service.settings import ServiceSettings
from leaderboard.table import TableQuery
from runner.fake.runner import FakeRunner
from runner.pool import Host, Pool
from tasks.anchors import ProvenanceTable, ScaleAnchors
from tasks.load import load_tasks
from tasks.model import Task
from tests.support.service import TASK

PATIENCE_S = 60.0


class Training(FakeRunner):
    """The fake runner, whose trainings leave a checkpoint where they are to."""

    def __init__(self, *, checkpoints: bool = True) -> None:
        super().__init__(step_s=0.001)
        self.checkpoints = checkpoints
        self.references: list[str] = []

    def submit(self, spec: Any) -> None:
        if spec.run_id.startswith("reference-"):
            self.references.append(spec.run_id)
        super().submit(spec)

    def collect(self, run_id: str, name: str, limit: int = 1 << 20) -> bytes | None:
        if name == "model.safetensors":
            return b"weights" if self.checkpoints else None
        return super().collect(run_id, name, limit)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "QUIET_S", 0.05)
    monkeypatch.setattr(measuring, "REST_S", 0.05)


@pytest.fixture
def task() -> Task:
    return load_tasks()[TASK]


@pytest.fixture
def started(tmp_path: Path, task: Task) -> Callable[[Training], Service]:
    """A service in this process, on a data folder of which digests are noted, with relative anchors for the task."""
    for name, file in (("train", "train.bin"), ("heldout", "heldout.bin")):
        folder = tmp_path / "data" / "smoke" / name
        folder.mkdir(parents=True)
        (folder / "meta.json").write_text(json.dumps({"format": 3, "sha256": {file: name}}))
    about = ProvenanceTable(date=date(2026, 11, 21), ringfence="0.1", runner="local", hardware="none", torch="none")
    figures = {"template": (0.01, -0.01, 0.0), "worst": (0.5, 0.51, 0.49)}
    anchors = ScaleAnchors(
        task_version=task.version,
        question=task.question("smoke"),
        relative=True,
        seeds=[42, 43, 44],
        provenance=about,
        metrics=[anchor(Measured("val_loss", "gpt-smoke", figures, len(SEEDS)))],
    )

    def start(runner: Training) -> Service:
        pool = Pool.of_slots(1)
        settings = ServiceSettings(
            db=f"sqlite:///{tmp_path / 'ringfence.db'}", state_dir=tmp_path, data_dir=tmp_path / "data"
        )
        host = Host(pool, pool, lambda _: False)
        return build(settings, {TASK: task}, runner, host, anchors={TASK: {"smoke": anchors}})

    return start


def scores(service: Service) -> list[float | None]:
    rows = service.boards.table(TASK, TableQuery(scale="smoke", final=False)).rows
    return [row["score"] for row in rows]  # type: ignore[misc]


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not happened():
            await asyncio.sleep(0.02)


def test_a_result_is_scored_once_the_unedited_file_is_measured_and_a_restart_measures_nothing(
    started: Callable[[Training], Service], task: Task
) -> None:
    runner = Training()
    service = started(runner)

    async def first() -> None:
        async with running(service):
            await asyncio.sleep(0.5)
            assert runner.references == []  # nobody has opened a session: who knows if anybody will
            await play(service, BaselineTest(task, None, "smoke", 42), lambda _: None)
            assert service.catalogue.whole(TASK).anchors["smoke"].waits
            assert scores(service) == [None]
            await until(lambda: service.catalogue.whole(TASK).anchors["smoke"].scored)

    asyncio.run(first())
    [score] = scores(service)
    assert score is not None
    anchors = service.catalogue.whole(TASK).anchors["smoke"]
    assert anchors.unedited is not None
    assert (anchors.unedited.seeds, anchors.waits) == (SEEDS, False)
    assert anchors.metrics[0].ref == pytest.approx(anchors.unedited.metrics["val_loss"])
    assert "measured on this installation's data with seeds 42, 43, 44" in service.catalogue.scoring_note(TASK, "smoke")
    service.engine.dispose()

    again = Training()
    service = started(again)
    assert scores(service) == [score]

    async def second() -> None:
        async with running(service):
            await play(service, BaselineTest(task, None, "smoke", 42), lambda _: None)

    asyncio.run(second())
    assert again.references == []
    assert None not in scores(service)
    service.engine.dispose()


def test_what_cannot_be_measured_is_tried_once_and_leaves_results_without_a_score(
    started: Callable[[Training], Service], task: Task, caplog: pytest.LogCaptureFixture
) -> None:
    runner = Training(checkpoints=False)
    service = started(runner)

    async def go() -> None:
        async with running(service):
            await play(service, BaselineTest(task, None, "smoke", 42), lambda _: None)
            await until(lambda: caplog.text.count("wait for the unedited file") == len(SEEDS))
            await asyncio.sleep(0.5)

    asyncio.run(go())
    assert len(runner.references) == 2 * len(SEEDS)
    assert scores(service) == [None]
    assert [loop.trouble for loop in service.loops if loop.trouble is not None] == []
    service.engine.dispose()
