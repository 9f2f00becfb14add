"""What a rehearsal does with the agent's script: each function is the work of one forked process."""

from __future__ import annotations

import os
import runpy
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from runner.inside.findings import FindingKind, Part
from runner.inside.judge.checkpoint import open_checkpoint
from runner.inside.judge.cost_growth import growth_of
from runner.inside.judge.reduction import reduced
from runner.inside.model_worker.logprobs import distributions, next_tokens
from runner.inside.model_worker.model import ModelError, build_model, load_model
from runner.inside.model_worker.operations import OperationCount
from runner.inside.model_worker.parameter_count import count_script
from runner.inside.names import COST_LENGTHS
from runner.inside.rehearsal.child import CostEntry, FindingEntry, Said, blamed
from runner.inside.settings import ModelSettings, read_model_settings

ROUNDING = 1e-4
"""Nats that float32 arithmetic may move a log-probability by. A leak is small in a model that has hardly trained."""


def full_settings(env: Mapping[str, str]) -> dict[str, str]:
    """`env` with the settings of the real size, which it holds as FULL_<NAME>."""
    return {**env, **{name.removeprefix("FULL_"): value for name, value in env.items() if name.startswith("FULL_")}}


def size(cap: int | None) -> Said:
    """Counts the parameters at the real size: without contents, or really built where that does not go."""
    parameters = count_script(full_settings(os.environ), Path.cwd())
    finding = FindingEntry(part=Part.SIZE, kind=FindingKind.TOO_LARGE, figure=parameters)
    return {"parameters": parameters, "finding": finding if cap is not None and parameters > cap else None}


def lengths(script: Path) -> Said:
    """Whether the model takes single tokens, 63 of them, and one less than its block: evaluations ask for any length.

    A length is refused where it is taken neither by the real size, of which only shapes are computed, nor by a small
    model of the real block size that is really computed: either alone may fail for reasons of its own.
    """
    full = read_model_settings(full_settings(os.environ))
    small = replace(read_model_settings(os.environ), block_size=full.block_size, vocab_size=full.vocab_size)
    wanted = sorted({length for length in (1, 63, full.block_size - 1) if 1 <= length < full.block_size})
    unseen = list(wanted)
    with suppress(Exception), torch.device("meta"), torch.no_grad():
        shapes_only = build_model(script, full).eval()
        for length in wanted:
            with suppress(Exception):
                shapes_only(torch.zeros((1, length), dtype=torch.int64))
                unseen.remove(length)
    if not unseen:
        return {}
    try:
        model = build_model(script, small).eval()
    except ModelError:
        return {}  # made for its own width alone, perhaps: whether it can be built is told elsewhere
    rng = np.random.default_rng()
    for length in unseen:
        tokens = torch.from_numpy(rng.integers(small.vocab_size, size=(1, length + 1)))
        try:
            with torch.no_grad():
                next_tokens(model, tokens, small)
        except Exception as error:
            traceback.print_exc()
            return {"finding": {**blamed(error, Part.LENGTHS, script), "length": length}}
    return {}


def cost(script: Path) -> Said:
    """How the work of an untrained model grows with the length of its input, counted as an evaluation does. A script
    that cannot be counted is told so by the part that finds why it does not run.
    """
    settings = replace(read_model_settings(os.environ), block_size=COST_LENGTHS[-1])
    counts: list[float] = []
    try:
        model = build_model(script, settings).eval()
        rng = np.random.default_rng()
        for length in COST_LENGTHS:
            tokens = torch.from_numpy(rng.integers(settings.vocab_size, size=(1, length)))
            last = torch.tensor([(0, length - 1)])
            with torch.no_grad(), torch.compiler.set_stance("force_eager"), OperationCount() as count:
                distributions(model, tokens, last, settings)
            counts.append(count.operations)
    except Exception:
        traceback.print_exc()
        return {"cost": CostEntry(rise=None, subquadratic=None)}
    growth = growth_of(counts, settings, trained=False)
    return {"cost": CostEntry(rise=growth.beside_softmax, subquadratic=growth.subquadratic)}


def training(script: Path, printed: Path) -> Said:
    """Runs the script as a program, as a stage does: it ends the process itself. What it prints goes into a file."""
    fd = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(fd, 1)
    os.close(fd)
    sys.argv = [str(script)]
    sys.path.insert(0, str(script.parent))
    runpy.run_path(str(script), run_name="__main__")
    return {}


def causality(script: Path, folder: Path) -> Said:
    """Loads the checkpoint as an evaluation does and changes the second half of a sequence: what the model expects
    before the change may not move.
    """
    settings = read_model_settings(os.environ)
    model = load_model(script, reduced(open_checkpoint(folder / "model.safetensors")).tobytes(), settings)
    first, second, change = two_endings(settings, np.random.default_rng())
    places = torch.tensor([(0, position) for position in range(change)])
    with torch.no_grad():
        before, after = (distributions(model, tokens, places, settings) for tokens in (first, second))
    moved = (before - after).nan_to_num().abs().amax(dim=1)
    if moved.max() <= ROUNDING:
        return {}
    return {"finding": FindingEntry(part=Part.CAUSALITY, kind=FindingKind.LEAKS)}


def two_endings(settings: ModelSettings, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Two sequences (1, block) that differ from a position on, and that position."""
    first = rng.integers(settings.vocab_size, size=(1, settings.block_size))
    second, change = first.copy(), settings.block_size // 2
    second[:, change:] = rng.integers(settings.vocab_size, size=settings.block_size - change)
    return torch.from_numpy(first), torch.from_numpy(second), change
