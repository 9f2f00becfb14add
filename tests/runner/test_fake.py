"""What the fake does beyond the port: it is scripted, deterministic and driven by the clock alone."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from runner.fake.runner import FakeRunner
from runner.inside import names
from runner.metrics import TrainMetrics, parse_train_metrics
from runner.protocol import Exit, ExitReason, Phase, RunSpec
from runner.text import useful_end

Shell = Callable[..., RunSpec]

EVALUATE = (*names.EVALUATE, names.LANGUAGE_MODELLING)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def fake(clock: Clock) -> FakeRunner:
    return FakeRunner(step_s=1.0, steps=20, clock=clock)


def curve(fake: FakeRunner) -> list[TrainMetrics]:
    lines = fake.log("run", "stdout", 0).decode().splitlines()
    return [metrics for metrics in map(parse_train_metrics, lines) if metrics]


def evaluated(fake: FakeRunner, clock: Clock, spec: RunSpec) -> dict[str, float]:
    fake.submit(spec)
    clock.now += 100
    found = fake.collect(spec.run_id, "metrics.json")
    assert found is not None
    metrics: dict[str, float] = json.loads(found)["metrics"]
    return metrics


def test_a_training_prints_a_falling_loss_as_time_passes(fake: FakeRunner, clock: Clock, shell: Shell) -> None:
    fake.submit(shell("", env={"MAX_ITERS": "2000"}))
    assert curve(fake) == []
    clock.now += 10
    assert [point.step for point in curve(fake)] == list(range(100, 1001, 100))
    clock.now += 10
    losses = [point.val_loss for point in curve(fake)]
    assert len(losses) == 20
    assert losses == sorted(losses, reverse=True)
    assert fake.poll("run").elapsed_s == 20


def test_the_same_code_gets_the_same_numbers_and_other_code_others(fake: FakeRunner, clock: Clock) -> None:
    runs = [RunSpec(f"run-{i}", EVALUATE, files={"a.py": text}) for i, text in enumerate(["x = 1", "x = 1", "x = 2"])]
    first, second, third = (evaluated(fake, clock, spec) for spec in runs)
    assert first == second != third
    assert first.keys() == {"val_loss", "wikitext2_ppl", "lambada_ppl"}


def test_the_code_under_test_may_be_with_the_workers(fake: FakeRunner, clock: Clock) -> None:
    alone = evaluated(fake, clock, RunSpec("alone", EVALUATE, files={"a.py": "x = 1"}))
    workers = tuple(RunSpec(f"run.score-{n}", EVALUATE, files={"a.py": "x = 1"}) for n in (1, 2))
    assert evaluated(fake, clock, RunSpec("run", EVALUATE, files={"go.sh": ""}, workers=workers)) == alone
    bad = RunSpec("bad.audit", EVALUATE, files={"a.py": "# fake: evaluate.exit=1\n"})
    fake.submit(RunSpec("bad", EVALUATE, workers=(bad,)))
    clock.now += 100
    assert fake.poll("bad").exit == Exit(ExitReason.EXITED, 1)


@pytest.mark.parametrize("command", [("bash", "scripts/lm_eval_345m.sh"), (*EVALUATE[:-1], "lm-eval")])
def test_a_harness_run_yields_accuracies_in_percent(fake: FakeRunner, clock: Clock, command: tuple[str, ...]) -> None:
    metrics = evaluated(fake, clock, RunSpec("run", command))
    assert metrics.keys() == {"arc_easy", "hellaswag", "piqa", "winogrande"}
    assert all(25 < value < 100 for value in metrics.values())


def test_a_diverging_run_goes_on_with_a_loss_that_is_not_finite(fake: FakeRunner, clock: Clock, shell: Shell) -> None:
    fake.submit(shell("# fake: nan\n"))
    clock.now += 15
    assert [point.finite for point in curve(fake)] == [True] * 10 + [False] * 5
    assert fake.poll("run").phase is Phase.RUNNING


@pytest.mark.parametrize(
    ("wish", "end"),
    [
        ("oom", Exit(ExitReason.MEMORY, detail="8192 MiB")),
        ("lost", Exit(ExitReason.LOST, detail="as asked for")),
        ("signal=11", Exit(ExitReason.SIGNALLED, 11)),
        ("hang", Exit(ExitReason.DEADLINE, detail="3600 s")),
    ],
)
def test_a_comment_decides_how_a_run_ends(fake: FakeRunner, clock: Clock, shell: Shell, wish: str, end: Exit) -> None:
    fake.submit(shell(f"    # fake: {wish}\n"))
    clock.now += 4000
    assert fake.poll("run").exit == end
    assert len(curve(fake)) == 10


@pytest.mark.parametrize(("wish", "error"), [("exit=2", "RuntimeError"), ("cuda-oom", "torch.OutOfMemoryError: CUDA")])
def test_a_failure_has_a_traceback_amid_noise(
    fake: FakeRunner, clock: Clock, shell: Shell, wish: str, error: str
) -> None:
    fake.submit(shell(f"# fake: {wish}\n"))
    assert fake.log("run", "stderr", 0) == b""
    clock.now += 100
    shown = useful_end(b"", fake.log("run", "stderr", 0), 1000)
    assert shown.startswith("Traceback")
    assert error in shown


def test_an_evaluation_heeds_only_the_comments_meant_for_it(fake: FakeRunner, clock: Clock) -> None:
    fake.submit(RunSpec("good", EVALUATE, files={"a.py": "# fake: exit=1\n"}))
    fake.submit(RunSpec("bad", EVALUATE, files={"a.py": "# fake: evaluate.exit=4\n"}))
    clock.now += 100
    assert fake.poll("good").exit == Exit(ExitReason.EXITED, 0)
    assert fake.poll("bad").exit == Exit(ExitReason.EXITED, 4)
    assert fake.collect("bad", "metrics.json") is None


def test_a_run_takes_as_long_as_it_says(fake: FakeRunner, clock: Clock, shell: Shell) -> None:
    fake.submit(shell("# fake: seconds=2.5\n"))
    clock.now += 100
    assert fake.poll("run").elapsed_s == 2.5


def test_results_are_there_at_the_end_and_not_before(fake: FakeRunner, clock: Clock) -> None:
    fake.submit(RunSpec("run", EVALUATE, files={"a.py": "# fake: evaluate.seconds=5\n"}))
    clock.now += 4
    assert fake.collect("run", "metrics.json") is None
    clock.now += 1
    assert fake.collect("run", "metrics.json") is not None


@pytest.mark.parametrize("nonsense", ["exit=1.2.3", "seconds=", "seconds=-1", "exit=" + "9" * 400, "frobnicate", "="])
def test_a_comment_that_means_nothing_is_a_comment(fake: FakeRunner, clock: Clock, shell: Shell, nonsense: str) -> None:
    fake.submit(shell(f"# fake: {nonsense}\n"))
    clock.now += 20
    assert fake.poll("run").exit == Exit(ExitReason.EXITED, 0)
