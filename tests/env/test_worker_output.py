"""What an agent gets to see of the processes that ran its model for a failed evaluation."""

from __future__ import annotations

import asyncio

from env.lifecycle.attempts import OUTPUT_CHARS, Attempts
from env.lifecycle.progress import Progress
from env.store.model import Status
from runner.fake.runner import FakeRunner
from runner.inside.names import EVALUATE, LANGUAGE_MODELLING
from runner.protocol import RunnerError, RunSpec

SCRIPT = "nanoGPT/custom_pretrain.py"
TRACEBACK = b"""\
Traceback (most recent call last):
  File "/var/runs/s-1-1-0.audit/work/nanoGPT/custom_pretrain.py", line 95, in forward
    return self.missing(x)
AttributeError: 'Block' object has no attribute 'missing'\x1b[0m
"""
LEFT_ALONE = b"""\
Traceback (most recent call last):
  File "/opt/python/multiprocessing/connection.py", line 430, in _recv_bytes
    buf = self._recv(4)
ConnectionResetError: [Errno 104] Connection reset by peer
"""


class WithWorkers(FakeRunner):
    """Its runs have workers, of which this is what they printed."""

    def __init__(self, **printed: bytes) -> None:
        super().__init__(step_s=0)
        self.printed = {f"s-1-1-0.{name}": text for name, text in printed.items()}

    def log(self, run_id: str, stream: str, offset: int, limit: int = 1 << 20) -> bytes:
        if "." not in run_id:
            return super().log(run_id, stream, offset, limit)
        return self.printed[run_id][offset : offset + limit] if stream == "stderr" else b"secret of stdout"


class Unreadable(WithWorkers):
    def log(self, run_id: str, stream: str, offset: int, limit: int = 1 << 20) -> bytes:
        if "." in run_id:
            raise RunnerError("the disk is gone")
        return super().log(run_id, stream, offset, limit)


def evaluated(runner: WithWorkers, wish: str) -> tuple[Status, str]:
    """Status and output of an evaluation whose workers got a script with this wish."""
    workers = [RunSpec(name, ("worker",), files={SCRIPT: f"# fake: evaluate.{wish}\n"}) for name in runner.printed]
    spec = RunSpec("s-1-1-0", (*EVALUATE, LANGUAGE_MODELLING), workers=tuple(workers))
    ended = asyncio.run(Attempts(runner).take(spec, Progress(None), lambda: None, evaluates=True))
    return ended.judged.status, ended.output


def test_a_failed_evaluation_shows_the_traceback_of_the_code_under_test() -> None:
    status, output = evaluated(WithWorkers(audit=LEFT_ALONE, score=TRACEBACK), "exit=1")
    assert status is Status.FAILED
    assert "RuntimeError: this run was asked to fail" in output  # the evaluator's own words come first
    shown = output[output.index("From the processes that ran the model:") :]
    assert f'File "{SCRIPT}", line 95, in forward' in shown
    assert "AttributeError: 'Block' object has no attribute 'missing'\n" in f"{shown}\n"
    assert "/var/runs" not in output
    assert "secret of stdout" not in output


def test_workers_without_a_word_add_none() -> None:
    _, output = evaluated(WithWorkers(audit=b"", score=b"\n"), "exit=1")
    assert "From the processes" not in output


def test_a_flood_is_cut() -> None:
    _, output = evaluated(WithWorkers(audit=b"ha " * 1_000_000 + b"\n" + b"ho\n" * 1_000_000), "exit=1")
    assert len(output) < 2 * OUTPUT_CHARS + 200


def test_an_evaluation_that_came_to_a_verdict_shows_none_of_it() -> None:
    for wish, expected in (("reject", Status.REJECTED), ("seconds=0", Status.SUCCEEDED)):
        assert evaluated(WithWorkers(audit=TRACEBACK), wish) == (expected, "")


def test_workers_that_cannot_be_read_are_the_infrastructures_fault() -> None:
    assert evaluated(Unreadable(audit=b""), "exit=1")[0] is Status.INFRA_FAILED
