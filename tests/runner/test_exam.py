"""A run that asks for an exam, or that is measured: what the port promises, for runners whose runs are processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runner.protocol import Exit, ExitReason, Phase, Runner, RunnerError, RunSpec, RunState

Shell = Callable[..., RunSpec]
Finish = Callable[[Runner, RunSpec], RunState]
SHOW = """
head -c 100000 "$EXAM_DIR/exam.bin" >"$OUT_DIR/seen"
touch "$EXAM_DIR/mine" 2>/dev/null
ls "$EXAM_DIR" >"$OUT_DIR/names"
"""


def test_each_run_has_a_text_of_its_own(real_runner: Runner, shell: Shell, finish: Finish) -> None:
    texts = []
    for name in ("one", "two"):
        state = finish(real_runner, shell(SHOW, run_id=name, exam="smoke", env={"BLOCK_SIZE": "64"}))
        assert (state.exit, state.no_exam) == (Exit(ExitReason.EXITED, 0), "")
        texts.append(real_runner.collect(name, "seen"))
    assert texts[0]
    assert texts[1]
    assert texts[0] != texts[1]
    if real_runner.name == "docker":
        assert real_runner.collect("one", "names") == b"exam.bin\nlambada.jsonl\nwikitext2.jsonl\n"
    for name in ("one", "two"):
        real_runner.remove(name)


def test_a_run_without_text_is_told_by_the_variable_and_its_asker_by_a_reason(
    real_runner: Runner, shell: Shell, finish: Finish
) -> None:
    script = 'echo "${EXAM_DIR-none}"\n'
    state = finish(real_runner, shell(script, exam="corpus", env={"BLOCK_SIZE": "64"}))
    assert "corpus/reserve" in state.no_exam
    assert real_runner.log("run", "stdout", 0) == b"none\n"
    assert finish(real_runner, shell(script, run_id="other")).no_exam == ""
    assert real_runner.log("other", "stdout", 0) == b"none\n"


def test_submitting_again_keeps_the_text(real_runner: Runner, shell: Shell, finish: Finish, tmp_path: Path) -> None:
    spec = shell("sleep 1" + SHOW, exam="smoke", env={"BLOCK_SIZE": "64"})
    real_runner.submit(spec)
    text = tmp_path / "runs" / "run" / "exam" / "exam.bin"
    before = text.read_bytes()
    finish(real_runner, spec)
    assert text.read_bytes() == before
    assert real_runner.collect("run", "seen") == before[:100_000]
    real_runner.remove("run")
    assert not text.exists()


@pytest.mark.parametrize("name", ["corpus/reserve", "corpus"])
def test_no_run_is_shown_a_reserve(real_runner: Runner, shell: Shell, tmp_path: Path, name: str) -> None:
    (tmp_path / "data" / "corpus" / "reserve").mkdir()
    with pytest.raises(RunnerError, match="would show a run the reserve"):
        real_runner.submit(shell("true\n", data={"DATA_DIR": name}))
    assert real_runner.poll("run").phase is Phase.UNKNOWN


def test_processor_time_is_that_of_all_processes(real_runner: Runner, shell: Shell, finish: Finish) -> None:
    spin = "python3 -S -c 'import time\nwhile time.process_time() < 1: pass'"
    state = finish(real_runner, shell(f"{spin} &\n(setsid {spin} &) \nwait\nsleep 2.5\n"))
    assert state.exit == Exit(ExitReason.EXITED, 0)
    assert state.cpu_s is not None
    assert 1.8 < state.cpu_s < 3.5
    idle = finish(real_runner, shell("sleep 0.3\n", run_id="idle"))
    assert idle.cpu_s is not None
    assert idle.cpu_s < 0.5
