"""What a test runs, in order: each stage's script, and after training the evaluator on its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from env.lifecycle.reference import Reference
from env.store.keys import key_from_text, key_text
from env.store.model import Test
from runner.inside.findings import Part
from runner.inside.names import EVALUATE, LANGUAGE_MODELLING, REFERENCE, REHEARSE, WORKER, worker_names
from runner.protocol import RunSpec
from tasks.model import Scale, Stage, Task

_SHAPE = ("N_LAYER", "N_HEAD", "N_EMBD", "BLOCK_SIZE", "VOCAB_SIZE")

_UNCOMPILED = {"TORCHDYNAMO_DISABLE": "1"}
_NAMED = {"TORCH_DISTRIBUTED_DEBUG": "INFO"}
"""Parameters without a gradient are told by their names, where it is else by their numbers."""
"""torch.compile leaves code as it is: on CPUs it would want a C++ compiler, a /tmp that programs can be loaded from,
and a minute of a test that takes seconds."""

_TINY = {
    "N_LAYER": "2",
    "N_HEAD": "2",
    "N_EMBD": "64",
    "BLOCK_SIZE": "64",
    "BATCH_SIZE": "2",
    "GRAD_ACCUM": "4",  # two micro-steps on each of the two processes
    "MAX_ITERS": "2",
    "EVAL_INTERVAL": "1",
    "EVAL_ITERS": "2",
    "DEVICE": "cpu",
    "DTYPE": "float32",
    "COMPILE": "0",
    **_UNCOMPILED,
    "OMP_NUM_THREADS": "1",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}
REHEARSAL_S = 120.0
"""Seconds that a rehearsal may take."""
NO_TEST = 0
"""What stands in a rehearsal's run id where a test's key would: tests count from 1, probes down from -1."""


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """One run of a test before it has an id: what it does, and which run's output it reads."""

    position: int
    stage: Stage
    command: tuple[str, ...]
    evaluates: bool
    """Its metrics count, and it sees the evaluation data; the other kind runs the agent's training loop."""
    upstream: int | None
    """Position of the run whose output it reads."""
    exam: str | None = None
    """The data set that it needs unseen text of, to certify what it measures."""
    keeps_weights: bool = False
    """It leaves the weights that its workers were given, beside its report."""


def plan(scale: Scale) -> tuple[PlannedRun, ...]:
    """The runs of a test at a scale, in order; a run's position is its place in it."""
    planned: list[PlannedRun] = []
    trained: int | None = None
    evaluator = (*EVALUATE, LANGUAGE_MODELLING)
    for stage in scale.stages:
        script = ("bash", stage.script)
        if stage.role == "train":
            trained = len(planned)
            planned.append(PlannedRun(position=trained, stage=stage, command=script, evaluates=False, upstream=None))
            planned.append(
                PlannedRun(
                    position=trained + 1,
                    stage=stage,
                    command=evaluator,
                    evaluates=True,
                    upstream=trained,
                    exam=exam_data_set(scale),
                )
            )
        else:
            planned.append(
                PlannedRun(position=len(planned), stage=stage, command=script, evaluates=True, upstream=trained)
            )
    return tuple(planned)


def run_id(session_id: str, n: int, position: int, attempt: int) -> str:
    """The id of an attempt at the run at `position` of a session's test `n`. Runners know runs by their ids only."""
    return f"{session_id}-{key_text(n)}-{position}-{attempt}"


def owner(run_id: str) -> tuple[str, int]:
    """Session and test's key that a run id was made for: of a run that nothing but its runner may know any more."""
    session_id, n, _, _ = run_id.rsplit("-", 3)
    return session_id, key_from_text(n)


def spec(
    task: Task,
    scale: Scale,
    test: Test,
    run: PlannedRun,
    settings: Mapping[str, str],
    attempt: int,
    upstream: str | None,
    reference: Reference | None = None,
    spent_s: float = 0.0,
) -> RunSpec:
    """The run as the runner gets it: the test's snapshot, the stage's script, the settings as environment.

    An evaluating run has nothing of the agent's but the checkpoint, its model workers nothing but the agent's files;
    where it sits an exam, another worker runs the `reference`. `spent_s` is what earlier attempts took of its time.
    """
    name = run_id(test.session_id, test.n, run.position, attempt)
    script = {run.stage.script: run.stage.script_text}
    common = {**settings, "SCRIPT": task.filename, "WORLD_SIZE_EXPECTED": str(scale.world_size)}
    gpus = test.devices if on_gpus(scale) else ()
    if not run.evaluates:
        return RunSpec(
            run_id=name,
            command=run.command,
            files={**test.files, **script},
            env={**common, **_NAMED, **({} if on_gpus(scale) else _UNCOMPILED)},
            data=scale.data,
            devices=scale.world_size,
            device_ids=gpus,
            timeout_s=max(1.0, run.stage.timeout_s - spent_s),
            memory_mb=scale.memory_mb,
        )
    beside = reference if run.exam else None
    scorers = int(settings.get("SCORERS", "1"))
    names = worker_names(scorers) if upstream else []

    def worker_spec(worker_id: str, number: int, script: str, files: Mapping[str, str]) -> RunSpec:
        return RunSpec(
            run_id=worker_id,
            command=WORKER,
            files=files,
            env={"SCRIPT": script, "TORCH_CPP_LOG_LEVEL": "ERROR", **_on_cpus(scale)},
            device_ids=gpus[number % len(gpus) :][:1] if gpus else (),
            timeout_s=run.stage.timeout_s,
            memory_mb=scale.memory_mb,
        )

    return RunSpec(
        run_id=name,
        command=run.command,
        files=script,
        env={
            **common,
            **_cap(scale),
            **({} if beside is None else {"REFERENCE": "1"}),
            **({"KEEP_WEIGHTS": "1"} if run.keeps_weights else {}),
            **({} if task.cost_growth is None else {"COST_GROWTH": "1"}),
        },
        data={**scale.evaluation_data, **({} if beside is None else {"REFERENCE_DIR": beside.folder})},
        exam=run.exam,
        upstream=upstream,
        timeout_s=run.stage.timeout_s,
        memory_mb=scale.memory_mb,
        workers=(
            *(worker_spec(f"{name}.{each}", number, task.filename, test.files) for number, each in enumerate(names)),
            *(() if beside is None else (worker_spec(f"{name}.{REFERENCE}", 0, beside.script, beside.files),)),
        ),
    )


def _on_cpus(scale: Scale) -> Mapping[str, str]:
    """What a model on CPUs is run with: nothing compiled, as it was trained, and one thread. Several of a small model's
    wait for each other more than they compute, and on shared cores they do nothing else.
    """
    return {} if on_gpus(scale) else {"OMP_NUM_THREADS": "1", **_UNCOMPILED}


def _cap(scale: Scale) -> Mapping[str, str]:
    """The cap on parameters as the evaluator is told it; only a scale that trains nothing has none."""
    return {} if scale.max_parameters is None else {"MAX_PARAMETERS": str(scale.max_parameters)}


def exam_data_set(scale: Scale) -> str | None:
    """The data set that models of a scale are examined on: that of its held-out text. None where it names none."""
    heldout = scale.evaluation_data.get("EVAL_DATA_DIR")
    return heldout.partition("/")[0] if heldout and scale.settings.get("BLOCK_SIZE", "").isdecimal() else None


def on_gpus(scale: Scale) -> bool:
    """Whether the scale trains on GPUs; others train on slots, with CPUs."""
    return scale.settings.get("DEVICE") == "cuda"


def halved(settings: Mapping[str, str], times: int) -> Mapping[str, str] | None:
    """The settings with the micro-batch halved and the accumulation doubled so often: the same tokens per step.

    None when the micro-batch cannot be halved so often, or the script is not told of one.
    """
    if times == 0:
        return settings
    batch, accumulation = settings.get("BATCH_SIZE", ""), settings.get("GRAD_ACCUM", "")
    factor = 2**times
    if not (batch.isdecimal() and accumulation.isdecimal()) or int(batch) < factor or int(batch) % factor:
        return None
    return {**settings, "BATCH_SIZE": str(int(batch) // factor), "GRAD_ACCUM": str(int(accumulation) * factor)}


def rehearsal(
    task: Task,
    scale: Scale,
    session_id: str,
    number: int,
    files: Mapping[str, str],
    parts: Sequence[Part] = tuple(Part),
) -> RunSpec:
    """The free check of the same script on CPU, at a size that takes seconds. It sees no data but what it invents."""
    return RunSpec(
        run_id=run_id(session_id, NO_TEST, number, 0),
        command=REHEARSE,
        files=files,
        env={
            **scale.settings,
            **_TINY,
            **{f"FULL_{name}": scale.settings[name] for name in _SHAPE if name in scale.settings},
            "SCRIPT": task.filename,
            "WORLD_SIZE_EXPECTED": "2",
            "PARTS": " ".join(parts),
            **_cap(scale),
            **({} if task.cost_growth is None else {"COST_GROWTH": "1"}),
        },
        devices=2,
        timeout_s=REHEARSAL_S,
        memory_mb=min(scale.memory_mb, 8192),
    )
