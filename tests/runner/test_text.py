"""Output of a hostile process as harmless text, and the useful part of a failure's output."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from runner.text import MAX_LINE, readable, useful_end

NOISE = """\
W0414 22:14:20.371000 459610 site-packages/torch/distributed/run.py:792] \n\
W0414 22:14:20.371000 459610 site-packages/torch/distributed/run.py:792] *****************************************
W0414 22:14:20.371000 459610 site-packages/torch/distributed/run.py:792] Setting OMP_NUM_THREADS environment variable
W0414 22:14:20.371000 459610 site-packages/torch/distributed/run.py:792] *****************************************
[W414 22:14:20.403281791 socket.cpp:204] [c10d] The hostname of the client socket cannot be retrieved. err=-3
/home/u/custom_pretrain.py:6: UserWarning: something is deprecated
"""
TRACEBACK = """\
Traceback (most recent call last):
  File "custom_pretrain.py", line 300, in <module>
    logits = model(x)
             ^^^^^^^^
  File "custom_pretrain.py", line 36, in forward
    return x @ w
           ~~^~~
RuntimeError: mat1 and mat2 shapes cannot be multiplied (4x8 and 4x8)
"""
PEER = """\
Traceback (most recent call last):
  File "custom_pretrain.py", line 310, in <module>
    dist.barrier()
RuntimeError: [gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:12165.
"""
LAUNCHER = """\
W0414 22:14:24.798000 8815 torch/distributed/elastic/multiprocessing/api.py:1028] Sending process 8819 closing signal
E0414 22:14:24.806000 8815 torch/distributed/elastic/multiprocessing/api.py:1002] failed (exitcode: -9) local_rank: 0
Traceback (most recent call last):
  File "/opt/bin/torchrun", line 10, in <module>
    sys.exit(main())
torch.distributed.elastic.multiprocessing.errors.ChildFailedError: \n\
============================================================
custom_pretrain.py FAILED
------------------------------------------------------------
Failures:
  <NO_OTHER_FAILURES>

Root Cause (first observed failure):
[0]:
  rank      : 0 (local_rank: 0)
============================================================
"""


def shown(stderr: str, stdout: str = "", limit: int = 4000) -> str:
    return useful_end(stdout.encode(), stderr.encode(), limit)


def ranked(rank: int, text: str) -> str:
    return "".join(f"[rank{rank}]: {line}\n" for line in text.splitlines())


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"\x1b[1;31mred\x1b[0m \x1b]0;title\x07plain\x1b]8;;http://x\x1b\\link", "red plainlink"),
        (b"10%\r50%\r100%\r\ndone\r\n", "100%\ndone\n"),
        (b"nul\0 bell\x07 back\x08 delete\x7f tab\tend", "nul bell back delete tab\tend"),
        (b"broken \xff\xfe utf-8 \xe2\x80", "broken \ufffd\ufffd utf-8 \ufffd"),
        ("right\u202eto left\u2066 zero\u200bwidth c1\x9b".encode(), "rightto left zerowidth c1"),
        ("one\u2028line\x0b\x0c\x85only".encode(), "onelineonly"),
        (b"never closed \x1b]0;title\nnext line", "never closed \nnext line"),
        (b"cut off \x1b[", "cut off "),
        ("naïve 🏖".encode(), "naïve 🏖"),
    ],
)
def test_output_becomes_harmless_text(raw: bytes, text: str) -> None:
    assert readable(raw) == text


def test_long_lines_are_cut_with_a_mark() -> None:
    first, second = readable(b"x" * (MAX_LINE + 5) + b"\n" + b"y" * MAX_LINE).split("\n")
    assert first == "x" * MAX_LINE + " [... 5 more characters]"
    assert second == "y" * MAX_LINE


def test_the_script_s_traceback_is_shown_and_no_noise() -> None:
    assert shown(NOISE + TRACEBACK + LAUNCHER) == TRACEBACK.strip()


def test_of_all_ranks_the_one_that_knows_the_cause_is_shown() -> None:
    assert shown(NOISE + ranked(1, PEER) + ranked(0, TRACEBACK) + LAUNCHER) == TRACEBACK.strip()


def test_the_same_traceback_of_two_ranks_is_shown_once() -> None:
    assert shown(ranked(0, TRACEBACK) + ranked(1, TRACEBACK) + LAUNCHER) == TRACEBACK.strip()
    by_turns = "".join(a + b for a, b in zip(*[ranked(r, TRACEBACK).splitlines(True) for r in (0, 1)], strict=True))
    assert shown(by_turns + LAUNCHER) == TRACEBACK.strip()


def test_two_ranks_printing_line_between_line_without_saying_who_are_told_apart() -> None:
    assert shown(NOISE + "".join(2 * line for line in TRACEBACK.splitlines(True)) + LAUNCHER) == TRACEBACK.strip()


def test_a_consequence_is_better_than_nothing() -> None:
    ended = "The process of rank 0 was ended by signal 9 (SIGKILL).\n\n"
    assert shown(ranked(1, PEER) + LAUNCHER) == ended + PEER.strip()


def test_without_a_traceback_of_the_script_the_last_lines_are_shown() -> None:
    lines = shown(NOISE + "terminate called\n" + LAUNCHER + "train.sh: line 9: 8815 Killed\n").splitlines()
    assert lines[-3:] == [
        "terminate called",
        "E0414 22:14:24.806000 8815 torch/distributed/elastic/multiprocessing/api.py:1002] "
        "failed (exitcode: -9) local_rank: 0",
        "train.sh: line 9: 8815 Killed",
    ]
    assert not any(line.startswith(("W0414", "[W414")) for line in lines)


def test_what_was_printed_last_follows_the_traceback() -> None:
    text = shown(TRACEBACK, "a\nb\nc\nshape (4, 8)\n")
    assert text == TRACEBACK + "\nLast lines of stdout:\na\nb\nc\nshape (4, 8)"


def test_with_nothing_on_stderr_the_end_of_stdout_is_shown() -> None:
    assert shown("", "one\ntwo\n\n") == "one\ntwo"
    assert shown("", "noise\n" + TRACEBACK) == TRACEBACK.strip()
    assert shown("", "") == ""


@pytest.mark.parametrize(
    "script",
    [
        "def f(:\n    pass",
        "  x = 1",
        "try:\n    1/0\nexcept ZeroDivisionError as e:\n    raise ValueError('two\\nlines\\n  indented') from e",
        "try:\n    1/0\nexcept ZeroDivisionError:\n    {}['missing']",
        "def f(n):\n    return f(n + 1)\nf(0)",
        "class MyError(Exception): pass\ndef f():\n    class Local(Exception): pass\n    raise Local\nf()",
        "raise ExceptionGroup('several', [ValueError('a'), TypeError('b')])",
        "import subprocess\nassert 1 > 2, 'no'",
    ],
)
def test_what_python_prints_of_an_error_is_shown_whole(script: str, tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text(script)
    printed = subprocess.run([sys.executable, "-S", path], capture_output=True, text=True, check=False).stderr
    assert shown(NOISE + printed + LAUNCHER) == printed.strip("\n")


@pytest.mark.parametrize("limit", [200, 500, 1000])
def test_a_long_traceback_keeps_the_error_and_the_innermost_frames(limit: int) -> None:
    frames = "".join(f'  File "a.py", line {i}, in f{i}\n    f{i + 1}()\n' for i in range(1000))
    text = shown("Traceback (most recent call last):\n" + frames + "ValueError: the cause\n", limit=limit)
    assert len(text) <= limit
    assert text.startswith("[... earlier lines left out]\n")
    assert text.endswith("in f999\n    f1000()\nValueError: the cause")


def test_a_huge_message_leaves_room_for_frames_and_keeps_its_beginning() -> None:
    text = shown(TRACEBACK.replace("mat1", "mat1 " * 300), limit=600)
    assert len(text) <= 600
    assert "return x @ w" in text
    assert "RuntimeError: mat1 mat1" in text


@pytest.mark.parametrize(
    "hostile",
    [
        b"\x1b]" * 130_000,
        b"\x1b[0;" * 65_000,
        b"\r" * 260_000,
        b"\n" * 260_000,
        b"Traceback (most recent call last):\n" * 7_400,
        b"Traceback (most recent call last):\nA: x\n\n" * 6_200,
        b'  File "x", line 1\n' * 13_000,
        b"a: Connection " * 19_000,
        b"[rank1]: " * 29_000,
        b"=" * 260_000,
    ],
    ids=range(10),
)
def test_hostile_output_takes_no_time(hostile: bytes) -> None:
    begin = time.process_time()
    assert len(useful_end(hostile, hostile, 2000)) <= 2000
    assert time.process_time() - begin < 3  # 0.6 s at worst on an idle machine; minutes if it were quadratic


def test_metrics_lines_are_not_repeated() -> None:
    stdout = b"TRAIN_METRICS: step=20, train_loss=3.1000, val_loss=3.2000\nepoch done\n"
    assert useful_end(stdout, b"", 1000) == "epoch done"
    assert useful_end(stdout, b"bad news\n", 1000) == "bad news"
