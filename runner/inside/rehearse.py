"""The rehearsal before a test: does the edited script build, train a little, fit the cap, and keep to causality?

`python -P -m runner.inside.rehearse`, in a folder that holds the agent's script (SCRIPT), with model settings
(`settings.py`) at a very small size, those of the real size as FULL_<NAME>, and MAX_PARAMETERS. Torch is imported once;
each part of PARTS (all, where there is none) is a forked process, most of them side by side.
With COST_GROWTH=1 it is told too how the model's cost grows with the length of its input. Writes
OUT_DIR/rehearsal.json, made of the words of `findings.py`: advice to the agent, not a result. Exit status 0, whatever
was found; what the script printed to standard error is passed on, for authors of tasks.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import re
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from runner.inside.faults import exit_status
from runner.inside.findings import REPORT, FindingKind, Part
from runner.inside.rehearsal import parts
from runner.inside.rehearsal.child import Child, FindingEntry, finding_of, wait_for
from runner.inside.settings import ModelSettings, read_model_settings

PROCESSES = 2
TRAINING_S = 80.0
"""Seconds that the training may take."""
ANSWER_S = 60.0
"""Seconds that anything else of the script's may take."""
GRACE_S = 1.0
"""Seconds that a process of the training may go on when another has failed."""
_LOSS = re.compile(rb"^TRAIN_METRICS: step=\d+, train_loss=([0-9.]+), ", re.MULTILINE)
_PRINTED_BYTES = 1 << 20


def main() -> None:
    model, out_dir = read_model_settings(os.environ), Path(os.environ["OUT_DIR"])
    script = Path.cwd() / os.environ["SCRIPT"]
    wanted = os.environ.get("PARTS", " ".join(Part)).split()
    cap = os.environ.get("MAX_PARAMETERS")
    # Whatever computes shapes or makes an optimizer imports it, which takes as long as torch itself: here once for all.
    importlib.import_module("torch._dynamo")
    until = time.monotonic() + ANSWER_S
    asides = []
    if Part.SIZE in wanted:
        asides.append(Child(lambda: parts.size(None if cap is None else int(cap)), Part.SIZE, script, {}))
    if Part.LENGTHS in wanted:
        asides.append(Child(lambda: parts.lengths(script), Part.LENGTHS, script, {}))
    if Part.COST in wanted and os.environ.get("COST_GROWTH") == "1":
        asides.append(Child(lambda: parts.cost(script), Part.COST, script, {}))
    findings: list[FindingEntry | None] = []
    if Part.TRAINING in wanted:
        findings.append(train(script, out_dir, model))
    if Part.CAUSALITY in wanted and not any(findings):
        probing = Child(lambda: parts.causality(script, out_dir), Part.CAUSALITY, script, {})
        findings.append(_heard([probing], time.monotonic() + ANSWER_S)[0])
    findings[:0] = _heard(asides, until)
    said = [child.said for child in asides if child.said]
    parameters = next((one["parameters"] for one in said if "parameters" in one), None)
    report: dict[str, object] = {"parameters": parameters, "findings": [finding for finding in findings if finding]}
    if cost := next((one["cost"] for one in said if "cost" in one), None):
        report["cost"] = cost
    (out_dir / f"{REPORT}.part").write_text(json.dumps(report), encoding="utf-8")
    (out_dir / f"{REPORT}.part").replace(out_dir / REPORT)


def _heard(children: Sequence[Child], until: float) -> list[FindingEntry | None]:
    wait_for(children, until)
    for child in children:
        child.end()
    return [finding_of(child) for child in children]


def invent_data(folder: Path, model: ModelSettings) -> None:
    """Uniform random tokens as training and dev data: there is nothing to learn from them, nor to tell anybody."""
    rng = np.random.default_rng()
    for name, blocks in (("train.bin", 64), ("dev.bin", 16)):
        rng.integers(model.vocab_size, size=blocks * (model.block_size + 1)).astype("<u2").tofile(folder / name)


def train(script: Path, out_dir: Path, model: ModelSettings) -> FindingEntry | None:
    """Runs the script in PROCESSES processes, to its checkpoint in `out_dir`."""
    with tempfile.TemporaryDirectory() as folder:
        invent_data(Path(folder), model)
        printed = [Path(folder, f"printed-{rank}") for rank in range(PROCESSES)]
        common = {
            "DATA_DIR": folder,
            "WORLD_SIZE": str(PROCESSES),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(_free_port()),
        }
        ranks = [
            Child(
                lambda rank=rank: parts.training(script, printed[rank]),  # type: ignore[misc]
                Part.TRAINING,
                script,
                {**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            )
            for rank in range(PROCESSES)
        ]
        until = time.monotonic() + TRAINING_S
        wait_for(ranks, until, enough=lambda: any(rank.said for rank in ranks))
        if any(rank.over for rank in ranks):
            wait_for(ranks, min(until, time.monotonic() + GRACE_S) if any(rank.said for rank in ranks) else until)
        for rank in ranks:
            rank.end()
        return _trained(ranks, printed[0], out_dir)


def _trained(ranks: Sequence[Child], printed: Path, out_dir: Path) -> FindingEntry | None:
    """What came of the training's processes; of several that failed the first one tells why."""
    for rank in sorted(ranks, key=lambda rank: rank.over_at or math.inf):
        if rank.said and (finding := rank.said.get("finding")):
            return finding
    with printed.open("rb") as file:
        losses = [float(loss) for loss in _LOSS.findall(file.read(_PRINTED_BYTES))]
    late = not all(rank.over for rank in ranks)
    if late:
        return FindingEntry(part=Part.TRAINING, kind=FindingKind.LATE)
    if not losses:
        return FindingEntry(part=Part.TRAINING, kind=FindingKind.SILENT)
    if any(rank.status for rank in ranks):
        return FindingEntry(part=Part.TRAINING, kind=FindingKind.ENDED)
    if not (out_dir / "model.safetensors").is_file():
        return FindingEntry(part=Part.TRAINING, kind=FindingKind.CHECKPOINT)
    return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(exit_status(main))
