"""The whole examination, in the order in which an operator would mend things."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from env.lifecycle.plan import exam_data_set, on_gpus
from env.lifecycle.reference import find, recipe
from env.operators.doctor import host
from env.operators.doctor.finding import Finding, ok, problem, warning
from env.operators.doctor.trial import trial
from runner.data.exam import NoExam, exams_left
from runner.data.prepare import HOW_TO_GET_A_RESERVE, missing
from runner.data.smoke import is_prepared
from runner.gpus import discover, occupied
from runner.pool import Device
from runner.protocol import Runner, RunnerError
from tasks.data_sets import TextData
from tasks.model import Scale, Task


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What the service would be started with."""

    state: Path
    data: Path
    db: str
    host: str
    port: int
    tasks: Mapping[str, Task]
    scale: str | None
    """Of sessions that name none."""
    make_runner: Callable[[Path, Path], Runner]
    """From folders for runs and for data. Raises RunnerError."""
    find_gpus: Callable[[], list[Device]]
    """Those that tests may have. Raises RunnerError."""


def examine(setup: Setup) -> Iterator[Finding]:
    """Looks at everything, one thing after another; each finding comes as soon as it is known."""
    in_use, state = host.state_folder(setup.state)
    yield state
    yield host.disk("disk", setup.state)
    if setup.data.resolve() != (setup.state / "data").resolve():
        yield host.disk("data disk", setup.data)
    yield host.database(setup.db)
    yield host.port(setup.host, setup.port, in_use)
    try:
        devices = setup.find_gpus()
        yield _gpus(devices, setup)
    except RunnerError as error:
        devices = []
        yield problem("gpus", str(error), "name GPUs that are there: nvidia-smi -L lists them")
    yield from _sandbox(setup, tuple(device.id for device in devices))
    yield from _data(setup)
    yield from _certificates(setup)


def _gpus(devices: list[Device], setup: Setup) -> Finding:
    wanting = sorted({scale.name for task in setup.tasks.values() for scale in task.scales.values() if on_gpus(scale)})
    if not devices:
        seen = "none for tests, of those that are there" if discover() else "none, or no NVIDIA driver"
        if setup.scale in wanting:
            return problem("gpus", seen, f"scale {setup.scale} needs them: install the driver, or give another --scale")
        return warning("gpus", seen, f"scales that need them cannot be tested: {', '.join(wanting) or 'none'}")
    linked = sum(bool(device.peers) for device in devices)
    seen = f"{', '.join(f'{device.id} {device.name}' for device in devices)}; {linked} linked by NVLink"
    taken = list(filter(None, (occupied(device.id) for device in devices)))
    if taken:
        remedy = "leave them out with --gpus, or stop what is there: until then they go to no test"
        return warning("gpus", f"{seen}; in use: {', '.join(taken)}", remedy)
    return ok("gpus", seen)


def _sandbox(setup: Setup, gpus: tuple[str, ...]) -> Iterator[Finding]:
    existed = setup.state.exists()
    try:
        setup.state.mkdir(parents=True, exist_ok=True)
        # Beside the real runs: a container engine may see no other folder of this host.
        with tempfile.TemporaryDirectory(dir=setup.state, prefix="doctor-") as scratch:
            runner = setup.make_runner(Path(scratch, "runs"), setup.data)
            about = runner.describe()
            named = [f"{name} {about[name]}" for name in ("engine", "image", "slurm", "sandbox") if name in about]
            yield ok("runner", ", ".join([runner.name, *named]))
            if runner.name == "fake":
                yield warning("sandbox", "the fake runner invents results", "use another --runner for real ones")
            else:
                yield from trial(runner, gpus)
            yield from (warning(lack.wall, lack.what, lack.remedy) for lack in runner.lacks())
    except RunnerError as error:
        yield problem("runner", str(error), "start the engine, or see what its message asks for")
    except OSError as error:
        yield problem("runner", f"{setup.state}: {error.strerror}", "name another state folder with --state")
    finally:
        if not existed:
            with contextlib.suppress(OSError):
                setup.state.rmdir()


def _certificates(setup: Setup) -> Iterator[Finding]:
    """What certified results of the full scales need beside the data."""
    seen: set[str] = set()
    for task in setup.tasks.values():
        for scale in task.scales.values():
            data_set = exam_data_set(scale)
            if data_set in (None, "smoke") or _without_folders(setup.data, scale):
                continue
            if f"reserve {data_set}" not in seen:
                seen.add(f"reserve {data_set}")
                yield _reserve(setup.data, data_set, int(scale.settings["BLOCK_SIZE"]))
            wanted = recipe(task, scale, setup.data)
            if wanted is not None and wanted.key not in seen:
                seen.add(wanted.key)
                there = find(wanted, setup.data) is not None
                subject = f"reference {scale.name}"
                yield (
                    ok(subject, wanted.key)
                    if there
                    else warning(
                        subject,
                        "not made yet: results get no compute",
                        f"ringfence reference make --scale {scale.name}",
                    )
                )


def _without_folders(data_dir: Path, scale: Scale) -> bool:
    return not all((data_dir / name).is_dir() for name in (*scale.data.values(), *scale.evaluation_data.values()))


def _reserve(data_dir: Path, data_set: str, block_size: int) -> Finding:
    subject = f"reserve {data_set}"
    try:
        left = exams_left(data_dir, data_set, block_size)
    except NoExam as none:
        return warning(subject, f"{none}: results get no certificate", HOW_TO_GET_A_RESERVE)
    if not left:
        return warning(subject, "used up: results get no certificate", "prepare the data set anew")
    return ok(subject, f"text for {left} more exams")


def _data(setup: Setup) -> Iterator[Finding]:
    folders: dict[str, set[str]] = {}
    for task in setup.tasks.values():
        for scale in task.scales.values():
            for name in (*scale.data.values(), *scale.evaluation_data.values()):
                folders.setdefault(name, set()).add(scale.name)
    for name, scales in sorted(folders.items()):
        subject = f"data {name}"
        needed = f"scale {', '.join(sorted(scales))} needs it"
        if not (setup.data / name).is_dir():
            if name.startswith("smoke/"):
                yield ok(subject, "not there yet, will be made at the start")
                continue
            judge = problem if setup.scale in scales else warning
            yield judge(subject, f"not in {setup.data}; {needed}", _prepare(name))
        elif absent := missing(setup.data, name):
            yield warning(subject, f"{', '.join(absent)} missing; {needed}", _prepare(name))
        elif name.startswith("smoke/") and not is_prepared(setup.data, name):
            yield ok(subject, "of another version, will be made anew at the start")
        else:
            yield ok(subject, str(setup.data / name))


def _prepare(folder: str) -> str:
    """The command that makes everything a scale needs which reads the data folder."""
    name = folder.partition("/")[0]
    chosen = f" --data-set {name}" if name in set(TextData) - {TextData.FINEWEB10B} else ""
    return f"ringfence data prepare all{chosen}"
