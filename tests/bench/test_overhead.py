"""What a test costs over running its scripts by hand: queueing, supervision, following the output, judging."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from env.lifecycle.plan import plan, spec
from env.lifecycle.reference import find, recipe
from env.store.model import Session, Status, Test
from runner.data.exam import write_exam
from runner.folder.layout import environment, lay_out
from runner.folder.run_folder import RunFolder
from runner.inside.names import DISMISSED, GONE
from runner.protocol import RunSpec
from tasks.load import load_tasks
from tasks.model import Task
from tests.support.service import TASK, Agent, Serve, Server

PAIRS = 5


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The same work twice, in seconds of wall-clock time."""

    by_hand: float
    by_test: float
    in_runs: float
    """What the test's runs took, as their host measured them."""

    @property
    def ratio(self) -> float:
        return self.by_test / self.by_hand


def test_a_test_takes_little_longer_than_its_scripts_by_hand(serve: Serve, tmp_path: Path, smoke_data: Path) -> None:
    server, task = serve("--runner", "local"), load_tasks()[TASK]
    pairs = measure_overhead(server, task, tmp_path, smoke_data, pairs=1 + PAIRS)
    ratio = median(pair.ratio for pair in pairs[1:])  # the first pair is for warming up
    print(f"a test takes {ratio:.3f} of the time by hand")
    assert ratio < 1.1


def measure_overhead(server: Server, task: Task, folder: Path, data: Path, *, pairs: int) -> list[Pair]:
    """Plays the unedited task at smoke scale, by hand in new folders in `folder`, and as tests of `server`."""
    measured = []
    for number in range(pairs):
        agent = server.open(task.id, scale="smoke")
        started = time.perf_counter()
        _by_hand(task, folder / f"by-hand-{number}", data)
        by_hand = time.perf_counter() - started
        started = time.perf_counter()
        in_runs = _by_test(agent)
        by_test = time.perf_counter() - started
        measured.append(Pair(by_hand=by_hand, by_test=by_test, in_runs=in_runs))
        print(
            f"by hand {by_hand:6.2f} s   as a test {by_test:6.2f} s, {by_test - in_runs:.2f} s of them between runs   "
            f"ratio {measured[-1].ratio:.3f}"
        )
    return measured


def _by_test(agent: Agent) -> float:
    """Seconds that its runs took, as their host measured them."""
    asked = agent.call("test")
    assert asked.status_code == 202, asked.text
    result = agent.result(1)
    assert result["status"] == "succeeded", result["observation"]
    return float(sum(stage["elapsed_s"] for stage in result["stages"]))


def _by_hand(task: Task, folder: Path, data: Path) -> None:
    """A user at a terminal: runs what the service would run, one command after the other."""
    now = datetime.now(UTC)
    session = Session(id="byhand", task=task, agent="user", scale="smoke", metadata={}, token_sha256="", created_at=now)
    files = {task.filename: task.text}
    test = Test(session_id=session.id, n=1, status=Status.RUNNING, files=files, created_at=now)
    scale = session.size
    reference = find(recipe(task, scale, data), data)
    names: list[str] = []
    for run in plan(scale):
        wanted = spec(
            task=task,
            scale=scale,
            test=test,
            run=run,
            settings=scale.settings,
            attempt=0,
            upstream=None if run.upstream is None else names[run.upstream],
            reference=reference,
        )
        names.append(wanted.run_id)
        _run(wanted, folder, data)


def _run(wanted: RunSpec, folder: Path, data: Path) -> None:
    """The command with its workers beside it; those that it dismisses are killed, the others when it is over."""
    run = RunFolder(folder / wanted.run_id)
    folders = {variable: data / name for variable, name in wanted.data.items()}
    if wanted.upstream is not None:
        folders["INPUT_DIR"] = RunFolder(folder / wanted.upstream).out
    if wanted.workers:
        folders["MEET_DIR"] = run.meet
    places = {worker.run_id: run.meet / worker.run_id.partition(".")[2] for worker in wanted.workers}
    lay_out(run, wanted.files, places.values())
    if wanted.exam is not None:
        run.exam.mkdir()
        write_exam(data, wanted.exam, int(wanted.env["BLOCK_SIZE"]), run.exam)
        folders["EXAM_DIR"] = run.exam
    with _started(wanted, run, folders) as command, contextlib.ExitStack() as stack:
        left = {}
        for worker in wanted.workers:
            place, worker_run = places[worker.run_id], RunFolder(folder / worker.run_id)
            lay_out(worker_run, worker.files)
            left[place] = stack.enter_context(_started(worker, worker_run, {"MEET_DIR": place}))
        while command.poll() is None:
            for place in [place for place in left if (place / DISMISSED).exists()]:
                _kill(left.pop(place))
                (place / GONE).touch()
            time.sleep(0.005)
    assert command.returncode == 0, run.stream("stderr").read_text()


@contextlib.contextmanager
def _started(wanted: RunSpec, run: RunFolder, folders: dict[str, Path]) -> Iterator[subprocess.Popen[bytes]]:
    """The process, killed at the end if it still runs."""
    with run.stream("stdout").open("wb") as stdout, run.stream("stderr").open("wb") as stderr:
        process = subprocess.Popen(
            wanted.command,
            cwd=run.work,
            env=environment(run, wanted.env, folders),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
        )
        try:
            yield process
        finally:
            _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
