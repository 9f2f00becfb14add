"""A trial run through the very runner that will run tests: does a sandbox start, and what is in it?"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from env.operators.doctor import facts
from env.operators.doctor.finding import Finding, ok, problem, warning
from ringfence.api.distribution import requirements
from runner.protocol import Exit, ExitReason, Phase, Runner, RunSpec

_NEEDED = ("torch", "lm-eval", "safetensors", "numpy")
_FULL_SCALE = ("tiktoken",)
_PATIENCE_S = 90.0


def trial(runner: Runner, gpus: tuple[str, ...]) -> Iterator[Finding]:
    """Findings about a run on all of `gpus`, or on CPUs where there are none. Raises RunnerError."""
    name = f"doctor-0-0-{time.time_ns()}"
    spec = RunSpec(
        name,
        ("python", "-P", "facts.py"),
        files={"facts.py": Path(facts.__file__).read_text(encoding="utf-8")},
        env={"COUNT_GPUS": "1"} if gpus else {},
        device_ids=gpus,
        timeout_s=_PATIENCE_S,
        memory_mb=4096,
    )
    started = time.monotonic()
    runner.submit(spec)
    try:
        while (state := runner.poll(name)).phase is not Phase.ENDED:
            time.sleep(0.05)
        printed, complaint = (runner.log(name, stream, 0).decode(errors="replace") for stream in ("stdout", "stderr"))
    finally:
        runner.remove(name)
    if state.exit != Exit(ExitReason.EXITED, 0):
        last = next(iter(reversed(complaint.strip().splitlines())), "") or str(state.exit)
        yield problem("sandbox", f"a trial run failed: {last}", "mend what it says; for docker, build the image again")
        return
    found: Mapping[str, str] = json.loads(printed)
    yield ok("sandbox", f"a trial run took {time.monotonic() - started:.1f} s, Python {found['python']}")
    yield from _versions(found)
    yield from _source(found["source"])
    if gpus:
        seen = f"{found['gpus']} of {len(gpus)} GPUs can be used in the sandbox"
        remedy = 'install the NVIDIA container toolkit, or set gpu_mode = "devices" in the --sandbox file'
        yield ok("gpus inside", seen) if int(found["gpus"]) == len(gpus) else problem("gpus inside", seen, remedy)


def _versions(found: Mapping[str, str]) -> Iterator[Finding]:
    pinned = _pins()
    for package in (*_NEEDED, *_FULL_SCALE):
        version, wanted = found[package], pinned.get(package, "")
        if not version:
            judge = warning if package in _FULL_SCALE else problem
            yield judge(package, "not in the sandbox", f"build the image again, or pip install {package}=={wanted}")
        elif wanted and version.partition("+")[0] != wanted:
            remedy = "scores of other versions may not compare; build the image again with the pinned ones"
            yield warning(package, f"{version} in the sandbox, pinned is {wanted}", remedy)
        else:
            yield ok(package, version)


def _source(digest: str) -> Iterator[Finding]:
    if digest == facts.source():
        yield ok("evaluator", "the sandbox has this version's evaluator")
    else:
        seen = "the sandbox has the evaluator of another version" if digest else "the sandbox has no evaluator"
        yield problem("evaluator", seen, "build the image again: docker build --target trainer -t ringfence-trainer .")


def _pins() -> dict[str, str]:
    """Package to the version this distribution asks for."""
    found = (re.match(r"([A-Za-z0-9_.-]+)==([^;\s]+)", line) for line in requirements())
    return {match[1]: match[2] for match in found if match}
