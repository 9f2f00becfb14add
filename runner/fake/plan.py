"""What a fake run does from start to end, decided when it is submitted: from its command and its files alone."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field, replace

from runner.inside.findings import REPORT
from runner.inside.names import LANGUAGE_MODELLING, LM_EVAL, REHEARSE
from runner.metrics import TrainMetrics
from runner.protocol import Exit, ExitReason, RunSpec

_DIRECTIVE = re.compile(r"^[ \t]*#[ \t]*fake:[ \t]*([a-z.-]+)(?:=(\d{1,6}(?:\.\d{1,6})?))?[ \t]*$", re.MULTILINE)
_DONE = Exit(ExitReason.EXITED, 0)
_COMPLAINT = "commitment: off by 0.75 nats, the limit is 0.001, as asked for"
_CRASH = """\
W0101 00:00:00.000000 1 site-packages/torch/distributed/run.py:792] *****************************************
Traceback (most recent call last):
  File "{script}", line 1, in <module>
    main()
{error}
"""


@dataclass(frozen=True)
class FakePlan:
    """What a fake run prints, leaves behind and ends with, and when."""

    end: Exit
    _: KW_ONLY
    lines: tuple[str, ...] = ()
    """What is printed to stdout, one by one and evenly over `printing_s`."""
    duration_s: float = 0.0
    """Seconds from start to end, infinite for a run that has to be stopped."""
    printing_s: float = 0.0
    """Seconds over which the lines are printed."""
    stderr: str = ""
    """What is printed to stderr at the end."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """What the output folder holds at the end, by name."""


def make_plan(spec: RunSpec, step_s: float, steps: int) -> FakePlan:
    """A training run prints `steps` TRAIN_METRICS lines, `step_s` apart; an evaluation takes one step.

    A comment in the files, `# fake: exit=1`, has a training run misbehave, `# fake: evaluate.exit=1` an evaluation:
    - `exit=N`: a traceback and exit status N
    - `cuda-oom=B`: CUDA's out-of-memory error and exit status 1, unless the micro-batch has at most B sequences
    - `signal=N`: killed by signal N; `oom`: killed above the memory limit; `lost`: lost by the runner
    - `hang`: goes silent and never ends; `seconds=S`: takes that long
    - `nan`: the loss is not finite from the middle on; `boast=X`: the reported losses are X nats too low
    - `quadratic`: the cost grows as softmax attention's, where the task asks about that
    - `no-result`: exit status 0 without any file; `reject`: an audit fails
    """
    suite = _suite(spec.command)
    wishes = _wishes(spec, "evaluate." if suite else "")
    seconds = float(wishes.get("seconds") or step_s * (1 if suite else steps))
    if suite == REHEARSE[-1]:
        files = {} if "no-result" in wishes else {REPORT: _rehearsed(spec, "quadratic" in wishes)}
        plan = FakePlan(_DONE, duration_s=seconds, printing_s=seconds, files=files)
    elif suite:
        metrics = {} if "no-result" in wishes else {"metrics.json": _report(suite, spec, wishes)}
        plan = FakePlan(_DONE, duration_s=seconds, printing_s=seconds, files=metrics)
    else:
        lines = _curve(spec, steps, diverges="nan" in wishes, too_low=float(wishes.get("boast") or 0))
        plan = FakePlan(_DONE, lines=lines, duration_s=seconds, printing_s=seconds)
    return _disturbed(plan, spec, wishes)


def _disturbed(plan: FakePlan, spec: RunSpec, wishes: Mapping[str, str]) -> FakePlan:
    half = replace(
        plan,
        lines=plan.lines[: len(plan.lines) // 2],
        duration_s=plan.duration_s / 2,
        printing_s=plan.duration_s / 2,
        files={},
    )
    script = spec.env.get("SCRIPT", spec.command[-1])
    if "hang" in wishes:
        return replace(half, duration_s=math.inf)
    if "lost" in wishes:
        return replace(half, end=Exit(ExitReason.LOST, detail="as asked for"))
    if "oom" in wishes:
        return replace(half, end=Exit(ExitReason.MEMORY, detail=f"{spec.memory_mb} MiB"))
    if "signal" in wishes:
        return replace(half, end=Exit(ExitReason.SIGNALLED, _integer(wishes["signal"], 9)))
    if "cuda-oom" in wishes and int(spec.env.get("BATCH_SIZE", 1)) > _integer(wishes["cuda-oom"], 0):
        error = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
        return replace(half, end=Exit(ExitReason.EXITED, 1), stderr=_CRASH.format(script=script, error=error))
    if "exit" in wishes:
        error = "RuntimeError: this run was asked to fail"
        code = _integer(wishes["exit"], 1)
        return replace(half, end=Exit(ExitReason.EXITED, code), stderr=_CRASH.format(script=script, error=error))
    return plan


def _integer(wish: str, default: int) -> int:
    return int(float(wish)) if wish else default


def _suite(command: tuple[str, ...]) -> str | None:
    """What an evaluation measures; None for a training run."""
    last = command[-1].rpartition("/")[2]
    if last in (LANGUAGE_MODELLING, REHEARSE[-1]):
        return last
    return LM_EVAL if last == LM_EVAL or last.startswith("lm_eval") else None


def _wishes(spec: RunSpec, prefix: str) -> dict[str, str]:
    found = {name: value for _, text in _files(spec) for name, value in _DIRECTIVE.findall(text)}
    return {name.removeprefix(prefix): value for name, value in found.items() if ("." in name) == bool(prefix)}


def _files(spec: RunSpec) -> list[tuple[str, str]]:
    """Those of an evaluation are its workers', which run the code under test."""
    return sorted({item for run in (spec, *spec.workers) for item in run.files.items()})


def _quality(spec: RunSpec) -> float:
    """Between 0 and 1, by the code: the stages of a test differ in their shell scripts only."""
    code = [(name, text) for name, text in _files(spec) if not name.endswith(".sh")]
    return int.from_bytes(hashlib.sha256(json.dumps(code).encode()).digest()[:6], "big") / (1 << 48)


def _final_loss(spec: RunSpec) -> float:
    """By the code, and a little by the seed."""
    luck = hashlib.sha256(f"{_quality(spec)} {spec.env.get('SEED', '')}".encode()).digest()
    return 2.35 - 0.15 * _quality(spec) + 0.005 * (luck[0] / 255 + luck[1] / 255 - 1)


def _curve(spec: RunSpec, steps: int, diverges: bool, too_low: float) -> tuple[str, ...]:
    """A loss that falls from that of a uniform guess to its final value, by a power of the step."""
    settings = spec.env.get("MAX_ITERS", "")
    iterations = int(settings) if settings.isdecimal() else 100 * steps
    floor, start = _final_loss(spec), math.log(50304)
    points = []
    for i in range(1, steps + 1):
        loss = floor + (start - floor) * ((1 / i**0.7 - 1 / steps**0.7) if steps > 1 else 0.0)
        if diverges and 2 * i > steps:
            loss = math.nan
        points.append(TrainMetrics(iterations * i // steps, loss + 0.01 - too_low, loss - too_low))
    return tuple(f"{point}\n" for point in points)


def _report(suite: str, spec: RunSpec, wishes: Mapping[str, str]) -> bytes:
    """metrics.json, in the evaluator's form."""
    reject = "reject" in wishes
    quality, loss = _quality(spec), _final_loss(spec)
    if suite == LM_EVAL:
        metrics = {
            "arc_easy": 54.0 + 3 * quality,
            "hellaswag": 32.5 + 2 * quality,
            "piqa": 63.0 + 2 * quality,
            "winogrande": 50.5 + 2 * quality,
        }
    else:
        metrics = {
            "val_loss": loss,
            "wikitext2_ppl": 4.6 * math.exp(loss),
            "lambada_ppl": 7.0 * math.exp(loss),
        }
    parameters = 100_000 + int(5_000 * quality)
    gap = 0.75 if reject else 1e-7
    report = {
        "metrics": {} if reject else {name: round(value, 4) for name, value in metrics.items()},
        "parameters": parameters,
        "checkpoint_sha256": hashlib.sha256(f"{quality}".encode()).hexdigest(),
        "rejected": _COMPLAINT if reject else None,
        "audits": [
            _audit("parameters", parameters, int(spec.env.get("MAX_PARAMETERS", 1 << 40)), "parameters"),
            _audit("commitment", gap, 0.001, "nats") | ({"complaint": _COMPLAINT} if reject else {}),
        ],
        "details": {"val_tokens": 65536},
    }
    if spec.env.get("COST_GROWTH") == "1" and suite != LM_EVAL and not reject:
        report["cost_growth"] = _cost_growth("quadratic" in wishes)
    return json.dumps(report).encode()


def _rehearsed(spec: RunSpec, quadratic: bool) -> bytes:
    """rehearsal.json, in the rehearsal's form."""
    cost = {"rise": 1.0 if quadratic else 0.0, "subquadratic": not quadratic}
    asked = spec.env.get("COST_GROWTH") == "1"
    return json.dumps({"parameters": 100_000, "findings": [], **({"cost": cost} if asked else {})}).encode()


def _cost_growth(quadratic: bool) -> dict[str, object]:
    per_token = [2e5 + (512 * length if quadratic else 0) for length in (256, 512, 1024)]
    return {
        "lengths": [256, 512, 1024],
        "operations": [256 * per_token[0], 512 * per_token[1], 1024 * per_token[2]],
        "beside_softmax": 1.0 if quadratic else 0.0,
        "exponent": 2.0 if quadratic else None,
        "device": "cpu",
        "trained": False,
        "subquadratic": not quadratic,
        "why_not": "",
    }


def _audit(name: str, figure: float, limit: float, unit: str) -> dict[str, object]:
    passed = figure <= limit
    return {"name": name, "passed": passed, "figure": figure, "limit": limit, "unit": unit, "samples": 512, "where": ""}
