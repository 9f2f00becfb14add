"""Finds the references of tests, and makes them: at scales of seconds by itself, at others when it is told to."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import math
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from env.lifecycle.attempts import Attempts
from env.lifecycle.plan import exam_data_set, plan
from env.lifecycle.progress import Progress
from env.lifecycle.record import data_digests
from env.lifecycle.reference import FOLDER, SCRIPT, Recipe, Reference, ReferenceTable, find, put, recipe
from env.lifecycle.turns import Turns, ask
from env.store.model import Run, Session, Status, Test
from leaderboard.board import data_key
from ringfence.api.distribution import own_version
from runner.protocol import Runner
from tasks.model import Scale, Task
from templates.render import BASE, render

log = logging.getLogger("ringfence.lifecycle")

MAX_WEIGHTS = 16 << 30
"""Bytes of a checkpoint."""


class ReferenceFailed(Exception):
    """No reference could be made; the message is one line that says why."""


class References:
    """The references in one data folder, made by one runner."""

    def __init__(self, data_dir: Path | None, runner: Runner, turns: Turns | None = None) -> None:
        """`data_dir` is None where nothing is really trained: there are no references then."""
        self._data_dir = data_dir
        self._runner = runner
        self._attempts = Attempts(runner, turns)
        self._making: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """By key."""
        self._failed: set[str] = set()
        """Keys of those that could not be made since the service started."""

    async def ready(self, task: Task, scale: Scale, devices: tuple[str, ...], now: datetime) -> Reference | None:
        """The reference for tests of a task at a scale; None if there is none.

        Made first where that takes seconds, on `devices`, which are the caller's meanwhile.
        """
        if self._data_dir is None or (wanted := recipe(task, scale, self._data_dir)) is None:
            return None
        async with self._making[wanted.key]:
            found = find(wanted, self._data_dir)
            if found is not None or exam_data_set(scale) != "smoke" or wanted.key in self._failed:
                return found
            try:
                return await self._make(wanted, devices, now)
            except (ReferenceFailed, OSError) as failure:
                log.warning("tests at scale %s go without a reference: %s", scale.name, failure)
                self._failed.add(wanted.key)
                return None

    async def make(
        self, task: Task, scale: Scale, devices: tuple[str, ...], now: datetime, seed: int | None = None
    ) -> Reference:
        """The reference for tests of a task at a scale, made on `devices` if need be; with a `seed`, the one at that
        seed, with its metrics. Raises ReferenceFailed; one at a seed that failed once is not tried again.
        """
        wanted = None if self._data_dir is None else recipe(task, scale, self._data_dir, seed)
        if wanted is None:
            raise ReferenceFailed(f"scale {scale.name} has none, or its data is missing: see `ringfence data prepare`")
        if seed is not None and wanted.key in self._failed:
            raise ReferenceFailed("it could not be made before")
        try:
            async with self._making[wanted.key]:
                return await self._make(wanted, devices, now, measured=seed is not None)
        except (ReferenceFailed, OSError) as failure:
            self._failed.add(wanted.key)
            raise ReferenceFailed(str(failure)) from failure

    async def _make(
        self, wanted: Recipe, devices: tuple[str, ...], now: datetime, *, measured: bool = False
    ) -> Reference:
        """`measured`: one without metrics will not do."""
        assert self._data_dir is not None
        async with _alone(self._data_dir / FOLDER, wanted.key):
            found = find(wanted, self._data_dir)
            if found is not None and (found.table.metrics or not measured):
                return found
            log.info("training the reference of scale %s, once for this data", wanted.scale.name)
            session, test = _as_test(wanted, devices, now)
            try:
                for item in plan(wanted.scale)[:2]:
                    item = replace(item, exam=None, keeps_weights=item.evaluates)
                    run = await self._attempts.run(session, test, item, Progress(None), lambda: None)
                    if run.status is not Status.SUCCEEDED:
                        raise ReferenceFailed(f"{run.run_id} ended as {run.status.value}: {run.reason} {run.output}")
                    test = replace(test, runs=(*test.runs, run))
                weights = await self._weights(test.runs[0], test.runs[1])
                machine = await ask(self._runner.describe)
                table = _table(wanted, test, machine, self._data_dir)
                await asyncio.to_thread(put, self._data_dir, wanted.key, table, weights)
            finally:
                await self._attempts.remove_where(lambda key: key == (session.id, test.n))
        found = find(wanted, self._data_dir)
        if found is None:
            raise ReferenceFailed(f"{self._data_dir / FOLDER / wanted.key} cannot be read")
        return found

    async def _weights(self, trained: Run, evaluated: Run) -> bytes:
        """As the evaluator's workers had them, if it left them; else as they were trained."""
        for run in (evaluated, trained):
            weights = await ask(self._runner.collect, run.run_id, "model.safetensors", MAX_WEIGHTS)
            if weights is not None:
                return weights
        raise ReferenceFailed("the training left no checkpoint")


def _as_test(wanted: Recipe, devices: tuple[str, ...], now: datetime) -> tuple[Session, Test]:
    """A test that nobody bought: its runs are made and judged as all others are."""
    task = Task(
        id=FOLDER,
        title="The unedited base script",
        description="",
        filename=SCRIPT,
        text=render(BASE),
        editable=((1, 1),),
        scales={wanted.scale.name: wanted.scale},
    )
    session = Session(
        id=f"{FOLDER}-{wanted.key}",
        task=task,
        agent=FOLDER,
        scale=wanted.scale.name,
        metadata={},
        token_sha256="",
        created_at=now,
    )
    files = {SCRIPT: task.text}
    return session, Test(
        session_id=session.id, n=1, status=Status.RUNNING, files=files, created_at=now, started_at=now, devices=devices
    )


def _table(wanted: Recipe, test: Test, machine: Mapping[str, str], data_dir: Path) -> ReferenceTable:
    trained, evaluated = test.runs
    assert evaluated.evaluation is not None
    return ReferenceTable(
        heldout_loss=evaluated.metrics["val_loss"],
        training_s=trained.elapsed_s,
        cpu_s=trained.cpu_s,
        settings=dict(wanted.scale.settings),
        world_size=wanted.scale.world_size,
        seed=wanted.scale.seed,
        machine=dict(machine),
        ringfence=own_version(),
        data={name: dict(files) for name, files in wanted.data.items()},
        script_sha256=wanted.script_sha256,
        checkpoint_sha256=evaluated.evaluation.checkpoint_sha256 or "",
        metrics={name: value for name, value in evaluated.metrics.items() if math.isfinite(value)},
        data_key=data_key(data_digests(wanted.scale, data_dir)),
    )


@asynccontextmanager
async def _alone(root: Path, key: str) -> AsyncIterator[None]:
    """One at a time, of all services that share the data folder; the lock ends with the process."""
    root.mkdir(parents=True, exist_ok=True)
    lock = os.open(root / f".{key}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(0.2)
        yield
    finally:
        os.close(lock)
