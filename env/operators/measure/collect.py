"""What anchors are made of: baselines' results from a database, the unedited file from a data folder."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sqlalchemy import Engine

from env.lifecycle.devices import NoDevice
from env.lifecycle.references import ReferenceFailed
from env.lifecycle.unedited import SEEDS, data_here, measured_seeds, unedited
from env.operators.measure.anchors import Measurements, NotMeasured
from env.service.service import Service
from env.store.engine import READING
from leaderboard.baseline_results import baseline_results
from leaderboard.board import BoardKey, RunnerClass
from tasks.model import Task

AGAIN_S = 1.0
"""Before the next try, where no device was free."""


async def measure_unedited(service: Service, task: Task, scale: str, data_dir: Path) -> None:
    """Has the unedited file measured at every seed on this data, where anchors are relative to it; as many at once as
    there are devices. Where that fails there are no scores, and no relative anchors.
    """
    known = measured_seeds(task, task.scales[scale], data_dir)
    if known is None:
        return

    async def measure(seed: int) -> None:
        while True:
            try:
                await service.lifecycle.make_reference(task, task.scales[scale], seed)
                return
            except NoDevice:
                await asyncio.sleep(AGAIN_S)

    missing = [seed for seed in SEEDS if seed not in known]
    failures = await asyncio.gather(*map(measure, missing), return_exceptions=True)
    for failure in failures:
        if failure is not None and not isinstance(failure, ReferenceFailed):
            raise failure
    if missing:
        service.scoring.refresh()


def measurements(engine: Engine, data_dir: Path, task: Task, scale: str) -> Measurements:
    """What is on a leaderboard of a task's baselines on the data of this folder, by the most trusted class of runners
    that has any. Raises NotMeasured.
    """
    size = task.scales[scale]
    data = data_here(size, data_dir)
    if data is None:
        raise NotMeasured(f"no digests are noted of the data in {data_dir}: nobody could say what anchors hold for")
    relative = measured_seeds(task, size, data_dir) is not None
    here = unedited(task, size, data_dir)
    if relative and here is None:
        raise NotMeasured(f"the unedited file is not measured on the data in {data_dir}")
    with engine.connect().execution_options(**READING) as conn, conn.begin():
        by_class = (baseline_results(conn, _board(task, scale, data, trusted)) for trusted in RunnerClass)
        found = next(filter(None, by_class), [])
    return Measurements(data=data, results=found, unedited=here)


def _board(task: Task, scale: str, data: str, runner_class: RunnerClass) -> BoardKey:
    return BoardKey(task_id=task.id, task_version=task.version, scale=scale, data=data, runner_class=runner_class)
