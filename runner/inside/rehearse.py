"""The rehearsal before a test: does the edited script build, train a little, fit the cap, and keep to causality?

`python -P -m runner.inside.rehearse`, in a folder that holds the agent's script (SCRIPT), with model settings
(`settings.py`) at a very small size, those of the real size as FULL_<NAME>, and MAX_PARAMETERS. Counts the
parameters at the real size, trains two optimizer steps in two processes, loads the checkpoint into a model worker, and
asks it twice about the same beginning with other endings; with COST_GROWTH=1 it also measures how the model's cost
grows with the length of its input. Writes OUT_DIR/metrics.json with `parameters`, `first_loss`
and `last_loss`; what it finds is advice to the agent, not a result. Exit status as in `evaluate.py`.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np

from runner.inside.faults import AgentFault, exit_status
from runner.inside.judge.checkpoint import open_checkpoint
from runner.inside.judge.cost_growth import measure_cost_growth
from runner.inside.judge.finding import size_audit
from runner.inside.judge.reduction import reduced
from runner.inside.judge.report import EvaluationReport, write_report
from runner.inside.judge.worker_client import ModelClient
from runner.inside.names import SIZE, WORKER
from runner.inside.rendezvous import Rendezvous
from runner.inside.settings import ModelSettings, read_model_settings

PROCESSES = 2
TRAINING_S = 90.0
"""Seconds that the training may take."""
ANSWER_S = 60.0
"""Seconds that anything else of the script's may take."""
PROBED = "probe"
"""The name of the one worker of a rehearsal."""
ROUNDING = 1e-4
"""Nats that float32 arithmetic may move a log-probability by. A leak is small in a model that has hardly trained."""
_LOSS = re.compile(r"^TRAIN_METRICS: step=\d+, train_loss=([0-9.]+), ", re.MULTILINE)


class TrainingFailed(AgentFault):
    """A part of the rehearsal that runs the script by itself failed; what the script printed has been passed on."""


def main() -> None:
    model, out_dir = read_model_settings(os.environ), Path(os.environ["OUT_DIR"])
    parameters = count_at_real_size()
    with tempfile.TemporaryDirectory() as data_dir:
        invent_data(Path(data_dir), model)
        losses = train(Path.cwd() / os.environ["SCRIPT"], Path(data_dir))
    checkpoint = open_checkpoint(out_dir / "model.safetensors")
    with tempfile.TemporaryDirectory() as meet_dir:
        place = Path(meet_dir, PROBED)
        place.mkdir()
        with Rendezvous(Path(meet_dir), [PROBED]) as rendezvous, WorkerProcess(place, os.environ, Path.cwd()):
            wire = rendezvous.welcome(PROBED, ANSWER_S)
            with ModelClient(wire, model, ANSWER_S, ANSWER_S) as client:
                client.load(reduced(checkpoint))
                rng = np.random.default_rng()
                probe_causality(client, model, rng)
                asked_for_growth = os.environ.get("COST_GROWTH") == "1"
                growth = measure_cost_growth(client, model, rng) if asked_for_growth else None
    metrics = {"parameters": float(parameters), "first_loss": losses[0], "last_loss": losses[-1]}
    write_report(EvaluationReport(checkpoint, metrics, cost_growth=growth), out_dir)


def count_at_real_size() -> int:
    """The parameters of the script's model at its real size. Raises AgentFault when there are more than allowed."""
    full = {name.removeprefix("FULL_"): value for name, value in os.environ.items() if name.startswith("FULL_")}
    try:
        counting = subprocess.run(
            [sys.executable, *SIZE[1:]],
            env={**os.environ, **full},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            timeout=ANSWER_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TrainingFailed(f"the model was not built at its real size within {ANSWER_S:g} s") from None
    printed = counting.stdout.split()
    if counting.returncode or not printed or not printed[-1].isdecimal():
        raise TrainingFailed("the model cannot be built at its real size")
    size = size_audit(int(printed[-1]), int(os.environ["MAX_PARAMETERS"]))
    if not size.passed:
        raise AgentFault(size.complaint.replace("in the checkpoint", "at the real size"))
    return int(printed[-1])


def invent_data(folder: Path, model: ModelSettings) -> None:
    """Uniform random tokens as training and dev data: there is nothing to learn from them, nor to tell anybody."""
    rng = np.random.default_rng()
    for name, blocks in (("train.bin", 64), ("dev.bin", 16)):
        rng.integers(model.vocab_size, size=blocks * (model.block_size + 1)).astype("<u2").tofile(folder / name)


def train(script: Path, data_dir: Path) -> list[float]:
    """Run the script in PROCESSES processes; the losses it reported, in nats per token. Raises TrainingFailed."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    common = {
        "DATA_DIR": str(data_dir),
        "WORLD_SIZE": str(PROCESSES),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    ranks = [
        subprocess.Popen(
            [sys.executable, script],
            env={**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if rank == 0 else subprocess.DEVNULL,
            text=True,
            errors="replace",
        )
        for rank in range(PROCESSES)
    ]
    try:
        printed, _ = ranks[0].communicate(timeout=TRAINING_S)
        codes = [rank.wait(timeout=TRAINING_S) for rank in ranks]
    except subprocess.TimeoutExpired:
        raise TrainingFailed(f"two optimizer steps were not over within {TRAINING_S:g} s") from None
    finally:
        for rank in ranks:
            rank.kill()
    failed = next((code for code in codes if code != 0), 0)
    if failed:
        raise TrainingFailed(f"training ended with exit={failed}")
    losses = [float(loss) for loss in _LOSS.findall(printed)]
    if not losses:
        raise TrainingFailed("training printed no TRAIN_METRICS with a finite loss")
    return losses


def probe_causality(client: ModelClient, model: ModelSettings, rng: np.random.Generator) -> None:
    """Change the second half of a sequence: what is expected before the change may not move. Raises AgentFault."""
    length = model.block_size
    first = rng.integers(model.vocab_size, size=(1, length)).astype(np.int32)
    change = length // 2
    second = first.copy()
    second[:, change:] = rng.integers(model.vocab_size, size=length - change)
    places = np.array([(0, position) for position in range(change)], dtype=np.int32)
    before, after = (client.distribution(tokens, places) for tokens in (first, second))
    moved = np.abs(before - after).max(axis=1)
    if moved.max() > ROUNDING:
        position = int(moved.argmax())
        raise AgentFault(
            f"causality: what the model expects after position {position} changes by {moved.max():.3g} nats "
            f"when only tokens from position {change} on are changed; a position may see itself and earlier ones only"
        )


class WorkerProcess:
    """A worker as a process beside its asker, in the same sandbox: for rehearsals, which give advice and no results.

    A context manager: leaving it kills the worker and its children. Its standard output goes nowhere, because the
    agent's code may print as it likes; its standard error is the asker's own.
    """

    def __init__(self, meet_dir: Path, environment: Mapping[str, str], work_dir: Path) -> None:
        """`environment` names the SCRIPT within `work_dir`; asker and worker meet in `meet_dir`."""
        self._process = subprocess.Popen(
            [sys.executable, *WORKER[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={**environment, "MEET_DIR": str(meet_dir)},
            cwd=work_dir,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:  # once it is reaped, its group's number may belong to others
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


if __name__ == "__main__":
    sys.exit(exit_status(main))
