"""Compute: what a training took, against what the reference took on the same hardware."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from env.lifecycle.plan import on_gpus
from env.lifecycle.reference import Reference
from env.store.model import Status, Test
from leaderboard.naming import MORE_COMPUTE
from tasks.model import Scale

_SAME_HARDWARE = ("cpu", "gpus")
_SAME_WORK = ("MAX_ITERS", "BATCH_SIZE", "GRAD_ACCUM", "EVAL_INTERVAL", "EVAL_ITERS")
_TOKENS = ("MAX_ITERS", "BATCH_SIZE", "GRAD_ACCUM", "BLOCK_SIZE")
"""Their product is the number of tokens that a training sees."""


@dataclass(frozen=True, kw_only=True)
class Compute:
    """A test's training beside the reference's. Times in seconds."""

    ratio: float | None
    """How many times the reference's it took; None where the two cannot be compared."""
    measure: str
    """`cpu` where runs share processors: the time of all their processes on them. `wall` where GPUs are their own."""
    used_s: float | None = None
    reference_s: float | None = None
    why_not: str = ""
    """Why there is no ratio; empty where there is one."""


def compute(test: Test, scale: Scale, reference: Reference | None, machine: Mapping[str, str]) -> Compute:
    """`machine` is what the runner says of the hardware that the test ran on."""
    gpus = on_gpus(scale)
    measure = "wall" if gpus else "cpu"
    stages = [stage.label for stage in scale.stages if stage.role == "train"]
    trained = [next((run for run in test.runs if run.label == label), None) for label in stages]
    if reference is None:
        return Compute(ratio=None, measure=measure, why_not="there is no reference for this scale and data")
    if len(trained) != 1 or trained[0] is None or trained[0].status is not Status.SUCCEEDED:
        return Compute(ratio=None, measure=measure, why_not="it is no single training that came to its end")
    table = reference.table
    used = trained[0].elapsed_s if gpus else trained[0].cpu_s
    whole = table.training_s if gpus else table.cpu_s
    if not used or not whole:
        return Compute(ratio=None, measure=measure, why_not="its host did not count the time")
    if any(machine.get(part) != table.machine.get(part) for part in _SAME_HARDWARE):
        return Compute(ratio=None, measure=measure, used_s=used, why_not="the reference was trained on other hardware")
    share = _share(scale, table.settings, table.world_size, gpus)
    if share is None:
        return Compute(ratio=None, measure=measure, used_s=used, why_not="the reference was trained at other settings")
    return Compute(ratio=used / (whole * share), measure=measure, used_s=used, reference_s=whole * share)


def compute_note(used: Compute) -> str:
    """On a training that took so much more than the reference that its result is set apart; empty for others."""
    if used.ratio is None or used.ratio <= MORE_COMPUTE:
        return ""
    time = "processor time" if used.measure == "cpu" else "time"
    return (
        f"The training took {used.ratio:.2f} times the {time} of the unedited script on this hardware "
        f"({used.used_s:.1f} s against {used.reference_s:.1f} s). Results above {MORE_COMPUTE:g} are labelled `more "
        "compute` and ranked after all others."
    )


def _share(scale: Scale, other: Mapping[str, str], world_size: int, gpus: bool) -> float | None:
    """How much of the reference's work a scale's training is; None where nothing says.

    A task may split the same tokens into other batches. On GPUs time goes by tokens; a training of seconds on CPUs is
    half start-up, so that there only the same settings compare.
    """
    if scale.world_size != world_size:
        return None
    if all(scale.settings.get(name) == other.get(name) for name in _SAME_WORK):
        return 1.0
    if not gpus:
        return None
    tokens = 1.0
    for name in _TOKENS:
        own, theirs = scale.settings.get(name, ""), other.get(name, "")
        if not (own.isdecimal() and theirs.isdecimal() and int(own) and int(theirs)):
            return None
        tokens *= int(own) / int(theirs)
    return tokens
