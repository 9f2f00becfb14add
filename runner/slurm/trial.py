"""What the cluster and its sandboxes give, tried out in a job that is nobody's run."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from secrets import token_hex

from runner.folder.run_folder import read_state, write_state
from runner.hardware import FLA
from runner.protocol import Exit, ExitReason, Phase, Runner, RunnerError, RunSpec, RunState
from runner.slurm.commands import Slurm

log = logging.getLogger("ringfence.slurm")

_SCRIPT = f"""
import importlib.metadata as m, json, platform
def version(name):
    try: return m.version(name)
    except m.PackageNotFoundError: return "none"
print(json.dumps({{**{{name: version(name) for name in ("torch", "{FLA}")}}, "python": platform.python_version()}}))
"""
_PATIENCE_S = 60.0
_AGAIN_S = 5.0  # where the result of an earlier one is kept
_UNKNOWN = "not known: the trial job waits for its turn"


@dataclass(frozen=True)
class Trial:
    """What was found."""

    about: dict[str, str]
    """Hardware of the node that it ran on, versions of Python and of packages in the sandbox, and of Slurm."""
    confined: bool = False
    """Whether Slurm keeps jobs in control groups that limit their memory."""
    done: bool = True
    """Whether it has run by now, or once before."""


def try_cluster(runner: Runner, root: Path, slurm: Slurm) -> Trial:
    """Has a job run in a sandbox. `runner` is one of its own, with its folders in `root`; the result is kept there,
    for times at which all nodes are taken. Raises RunnerError if the job ends badly, and if Slurm refuses it.
    """
    kept = root / ".last"
    for left_over in runner.run_ids():
        with contextlib.suppress(RunnerError):
            runner.remove(left_over)
    name = f"trial-{token_hex(4)}"
    runner.submit(RunSpec(name, ("python", "-c", _SCRIPT), memory_mb=512, timeout_s=60.0))
    try:
        known = read_state(kept)
        state = _wait(runner, name, _PATIENCE_S if known is None else _AGAIN_S)
        if state.phase is not Phase.ENDED:
            log.warning("the trial job still waits: %s", state.queued or "no reason known")
            nothing = dict.fromkeys(("cpu", "gpus", "python", "torch", FLA, "slurm"), _UNKNOWN)
            return Trial(nothing, done=False) if known is None else Trial(**known)
        if state.exit != Exit(ExitReason.EXITED, 0):
            said = runner.log(name, "stderr", 0).decode(errors="replace").strip().splitlines()[-1:]
            ended = state.exit.in_words() if state.exit is not None else "no end"
            raise RunnerError(f"a trial job on the cluster came to a bad end: {ended}. {''.join(said)}")
        node = read_state(root / name / "node") or {}
        inside = json.loads(runner.log(name, "stdout", 0))
    finally:
        with contextlib.suppress(RunnerError):
            runner.remove(name)
    about = {**{key: str(node[key]) for key in ("cpu", "gpus")}, **inside, "slurm": slurm.version()}
    trial = Trial(about, bool(node["confined"]))
    write_state(kept, asdict(trial))
    return trial


def _wait(runner: Runner, name: str, patience_s: float) -> RunState:
    patience = time.monotonic() + patience_s
    while (state := runner.poll(name)).phase is not Phase.ENDED and time.monotonic() < patience:
        time.sleep(0.05)
    return state
