"""What every runner does: one suite for all implementations of the port."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from runner.metrics import parse_train_metrics
from runner.protocol import Exit, ExitReason, Phase, Runner, RunnerError, RunSpec, RunState

Shell = Callable[..., RunSpec]
Finish = Callable[[Runner, RunSpec], RunState]
Ended = Callable[[Runner, str], RunState]

PRINTING = "for i in 1 2 3; do echo TRAIN_METRICS: step=$i, train_loss=2.5, val_loss=2.6; done\n"
ENDLESS = "# fake: hang\nwhile :; do sleep 1; done\n"
SCORING = """echo '{"metrics": {"arc_easy": 55.0}}' > "$OUT_DIR/metrics.json"\n"""


def test_a_run_that_ends_well_says_so_and_has_host_measured_times(runner: Runner, shell: Shell, finish: Finish) -> None:
    state = finish(runner, shell(PRINTING))
    assert state.exit == Exit(ExitReason.EXITED, 0)
    assert state.elapsed_s is not None
    assert 0 < state.elapsed_s < 5


def test_an_exit_status_is_reported(runner: Runner, shell: Shell, finish: Finish) -> None:
    assert finish(runner, shell("# fake: exit=3\nexit 3\n")).exit == Exit(ExitReason.EXITED, 3)


def test_a_signal_from_elsewhere_is_reported(runner: Runner, shell: Shell, finish: Finish) -> None:
    assert finish(runner, shell("# fake: signal=6\nkill -6 $$\n")).exit == Exit(ExitReason.SIGNALLED, 6)


def test_what_is_printed_is_readable_line_by_line(runner: Runner, shell: Shell, finish: Finish) -> None:
    finish(runner, shell(PRINTING))
    lines = runner.log("run", "stdout", 0).decode().splitlines()
    assert len(lines) >= 3
    assert all(map(parse_train_metrics, lines))
    assert runner.log("run", "stderr", 0) == b""


def test_a_log_can_be_read_in_pieces(runner: Runner, shell: Shell, finish: Finish) -> None:
    finish(runner, shell(PRINTING))
    whole, pieces = runner.log("run", "stdout", 0), b""
    while piece := runner.log("run", "stdout", len(pieces), 7):
        assert len(piece) <= 7
        pieces += piece
    assert pieces == whole
    assert runner.log("run", "stdout", len(whole) + 100) == b""


def test_output_arrives_while_the_run_goes_on(
    runner: Runner, shell: Shell, ended: Ended, eventually: Callable[..., None]
) -> None:
    runner.submit(shell(PRINTING + ENDLESS))
    eventually(lambda: b"TRAIN_METRICS" in runner.log("run", "stdout", 0))
    assert runner.poll("run").phase is Phase.RUNNING
    runner.cancel("run")
    ended(runner, "run")


def test_a_run_is_stopped_at_its_deadline(runner: Runner, shell: Shell, finish: Finish) -> None:
    state = finish(runner, shell(ENDLESS, timeout_s=0.2))
    assert state.exit == Exit(ExitReason.DEADLINE, detail="0.2 s")
    assert state.elapsed_s is not None
    assert 0.2 <= state.elapsed_s < 2


def test_a_cancelled_run_is_stopped(runner: Runner, shell: Shell, ended: Ended) -> None:
    runner.submit(shell(ENDLESS))
    runner.cancel("run")
    assert ended(runner, "run").exit == Exit(ExitReason.CANCELLED)


def test_a_cancel_after_the_end_changes_nothing(runner: Runner, shell: Shell, finish: Finish) -> None:
    before = finish(runner, shell(PRINTING))
    runner.cancel("run")
    assert runner.poll("run") == before


def test_submitting_again_changes_nothing(runner: Runner, shell: Shell, finish: Finish) -> None:
    before = finish(runner, shell(PRINTING))
    assert finish(runner, shell("# fake: exit=3\nexit 3\n")) == before
    assert runner.run_ids() == ["run"]


def test_results_are_collected_from_the_output_folder(runner: Runner, shell: Shell, finish: Finish) -> None:
    finish(runner, shell(SCORING, name="lm_eval.sh"))
    found = runner.collect("run", "metrics.json")
    assert found is not None
    assert json.loads(found)["metrics"]["arc_easy"] > 50
    assert runner.collect("run", "metrics.json", limit=len(found)) == found
    assert runner.collect("run", "metrics.json", limit=len(found) - 1) is None


def test_a_good_end_without_results_yields_none(runner: Runner, shell: Shell, finish: Finish) -> None:
    assert finish(runner, shell("# fake: evaluate.no-result\n", name="lm_eval.sh")).exit == Exit(ExitReason.EXITED, 0)
    assert runner.collect("run", "metrics.json") is None


def test_nothing_outside_the_output_folder_is_collected(runner: Runner, shell: Shell, finish: Finish) -> None:
    finish(runner, shell(SCORING + "mkdir $OUT_DIR/a", name="lm_eval.sh"))
    for name in ("", ".", "..", "/etc/passwd", "../stdout", "a/../metrics.json", "./metrics.json", "a\0", "a//b"):
        assert runner.collect("run", name) is None, name


def test_a_run_can_build_on_another(runner: Runner, shell: Shell, finish: Finish) -> None:
    finish(runner, shell("# fake: seconds=0\necho weights > $OUT_DIR/checkpoint\n", run_id="first"))
    second = shell("grep weights $INPUT_DIR/checkpoint\n", run_id="second", upstream="first")
    assert finish(runner, second).exit == Exit(ExitReason.EXITED, 0)


def test_workers_are_no_runs_of_their_own(runner: Runner, shell: Shell, finish: Finish) -> None:
    worker = shell("while :; do sleep 1; done\n", run_id="run.audit")
    assert finish(runner, shell(PRINTING, workers=(worker,))).exit == Exit(ExitReason.EXITED, 0)
    assert runner.run_ids() == ["run"]
    runner.remove("run")
    assert runner.run_ids() == []
    assert runner.poll("run.audit").phase is Phase.UNKNOWN


def test_an_upstream_without_trace_is_an_error(runner: Runner, shell: Shell) -> None:
    with pytest.raises(RunnerError, match="first"):
        runner.submit(shell("", upstream="first"))
    assert runner.poll("run").phase is Phase.UNKNOWN


def test_a_run_never_submitted_is_unknown(runner: Runner) -> None:
    assert runner.poll("nobody").phase is Phase.UNKNOWN
    assert runner.log("nobody", "stdout", 0) == b""
    assert runner.collect("nobody", "metrics.json") is None
    assert runner.run_ids() == []
    runner.cancel("nobody")
    runner.remove("nobody")


def test_a_removed_run_leaves_no_trace(runner: Runner, shell: Shell, finish: Finish) -> None:
    finish(runner, shell(PRINTING))
    runner.remove("run")
    assert runner.poll("run").phase is Phase.UNKNOWN
    assert runner.run_ids() == []


def test_removing_a_running_run_stops_it(runner: Runner, shell: Shell) -> None:
    runner.submit(shell(ENDLESS))
    runner.remove("run")
    assert runner.poll("run").phase is Phase.UNKNOWN


def test_the_hardware_is_described(runner: Runner) -> None:
    described = runner.describe()
    more = {"docker": {"image", "engine"}, "slurm": {"slurm", "sandbox"}}.get(runner.name, set())
    assert described.keys() == {"cpu", "gpus", "python", "torch", "flash-linear-attention", "runner"} | more
    assert described["runner"] == runner.name
    assert all(described.values())
