"""A finished test as a leaderboard result, with the record of where its numbers came from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from env.lifecycle.compute import compute
from env.lifecycle.plan import exam_data_set, plan
from env.lifecycle.question import cost_growth_of, unmet
from env.lifecycle.reference import Reference
from env.lifecycle.results import flat_metrics
from env.lifecycle.selfreport import expected_steps, first_val_loss, last_step, last_val_loss, uniform_loss
from env.store.model import Run, Session, Test
from leaderboard.model import Result
from ringfence.api.distribution import own_version
from runner.data.digests import content_digest, folder_digest
from runner.data.exam import RESERVE
from tasks.model import Scale


def result_of(
    session: Session,
    test: Test,
    machine: Mapping[str, str],
    reference: Reference | None = None,
    data_dir: Path | None = None,
) -> Result:
    """The leaderboard's row for a test that is over.

    `machine` is what its runner says of hardware and versions; `reference` is what it was compared with, and `data_dir`
    the folder of the data it read, None where that was invented.
    """
    assert test.ended_at is not None
    scale = session.size
    metrics, elapsed = flat_metrics(test)
    unmodified = test.files == {session.task.filename: session.task.text}
    evaluated = [run.evaluation for run in test.runs if run.evaluation is not None]
    parameters = next((each.parameters for each in evaluated if each.parameters is not None), None)
    checkpoint = next((each.checkpoint_sha256 for each in evaluated if each.checkpoint_sha256 is not None), None)
    certificate = next((each.certificate for each in evaluated if each.certificate is not None), None)
    used = compute(test, scale, reference, machine)
    data = data_digests(scale, data_dir)
    if test.data not in (None, data):  # it changed while the test ran: nobody can say what was read
        data = {use: dict.fromkeys(folders) for use, folders in data.items()}
    growth = cost_growth_of(test)
    return Result(
        run_key=test.run_key,
        task_id=session.task.id,
        task_version=session.task.version,
        agent=session.agent,
        session_id=session.id,
        test=test.n,
        status=test.status.value,
        scale=scale.name,
        seed=scale.seed,
        finished_at=test.ended_at,
        metrics=metrics,
        elapsed=elapsed,
        record={
            "code_sha256": {path: _sha256(text) for path, text in test.files.items()},
            "template_sha256": _sha256(session.task.text),
            "template_unmodified": unmodified,
            "parameters": {"counted": parameters, "cap": scale.max_parameters},
            "checkpoint_sha256": checkpoint,
            "certificate": None if certificate is None else asdict(certificate),
            "audits": [audit for run in test.runs for audit in _audits(run)],
            "self_reported": _self_reported(test, scale),
            "compute": asdict(used),
            **({} if growth is None else {"cost_growth": asdict(growth)}),
            "data": data,
            "exam": _exam(test, scale),
            "reference": None if reference is None else reference.key,
            "ringfence": own_version(),
            "world_size": scale.world_size,
            "settings": dict(scale.settings),
            "machine": {**machine, **({} if test.runner is None else {"runner": test.runner})},
            "devices": list(test.devices),
            "runs": list(_runs(test, scale)),
        },
        code=test.files,
        parameters=parameters,
        template_unmodified=unmodified,
        compute=None if used.ratio is None else round(used.ratio, 4),
        certified=None if certificate is None else certificate.certified,
        certified_error=None if certificate is None else certificate.error,
        confirms=session.confirms,
        unmet=unmet(session.task, test),
    )


def data_digests(scale: Scale, data_dir: Path | None) -> dict[str, dict[str, str | None]]:
    """By use (`training`, `held_out`, `reserve`), the data folders and a SHA-256 over what was noted of their files.

    Where nothing was, it is over the files themselves, and None of a reserve, which changes, and where there are none.
    """
    names = {"training": scale.data.values(), "held_out": scale.evaluation_data.values()}
    data_set = exam_data_set(scale)
    reserve = f"{data_set}/{RESERVE}"
    found = {use: {name: _digest(data_dir, name) for name in folders} for use, folders in names.items()}
    noted = None if data_dir is None else folder_digest(data_dir, reserve)
    return {**found, RESERVE: {reserve: noted} if data_set not in (None, "smoke") else {}}


def _digest(data_dir: Path | None, name: str) -> str | None:
    return None if data_dir is None else folder_digest(data_dir, name) or content_digest(data_dir, name)


def _exam(test: Test, scale: Scale) -> dict[str, Any]:
    """Of which data set there was unseen text for the evaluation, and if there was none, why."""
    wanted = next((item for item in plan(scale) if item.exam), None)
    if wanted is None:
        return {"data_set": None, "sat": False, "why_not": "the scale asks for none"}
    run = next((run for run in test.runs if run.position == wanted.position), None)
    if run is None:
        return {"data_set": wanted.exam, "sat": False, "why_not": "it did not come to that"}
    return {"data_set": wanted.exam, "sat": run.no_exam == "", "why_not": run.no_exam}


def _audits(run: Run) -> list[dict[str, Any]]:
    audits = () if run.evaluation is None else run.evaluation.audits
    return [{"run": run.run_id, **audit.figures()} for audit in audits]


def _self_reported(test: Test, scale: Scale) -> dict[str, float | None]:
    """Optimizer steps, and losses in nats per token: the training's own beside what they are to be compared with."""
    series = tuple(point for run in test.runs for point in run.series)
    return {
        "steps_reported": last_step(series),
        "steps_expected": expected_steps(scale.settings),
        "first_val_loss": first_val_loss(series),
        "uniform_loss": uniform_loss(scale.settings),
        "last_val_loss": last_val_loss(series),
        "evaluated_val_loss": next((run.metrics["val_loss"] for run in test.runs if "val_loss" in run.metrics), None),
    }


def _runs(test: Test, scale: Scale) -> Iterator[dict[str, Any]]:
    """Times are the host's. `slowdown` is how many times a training took what the unedited script takes."""
    stages = {stage.label: stage for stage in scale.stages}
    for label, group in groupby(test.runs, key=lambda run: run.label):
        for index, run in enumerate(group):
            trained = index == 0 and stages[label].role == "train"  # the next is the evaluator's
            baseline_s = stages[label].baseline_s if trained else None
            yield {
                "run": run.run_id,
                "stage": label,
                "status": run.status.value,
                "reason": run.reason,
                "note": run.note,
                "started_at": run.started_at,
                "ended_at": run.ended_at,
                "elapsed_s": round(run.elapsed_s, 3),
                "baseline_s": baseline_s,
                "cpu_s": run.cpu_s,
                "paused_s": run.paused_s,
                "slowdown": round(run.elapsed_s / baseline_s, 3) if baseline_s else None,
                "details": {} if run.evaluation is None else dict(run.evaluation.details),
            }


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
