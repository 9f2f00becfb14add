"""Models that fail, hang or lie: each ends in one clear line and never in a number."""

from __future__ import annotations

import os
import pickle
import time

import pytest
import torch
from safetensors.torch import load_file, save_file

from runner.inside.client import ModelClient
from runner.inside.evaluate import main
from runner.inside.faults import WorkerTimedOut

AT_IMPORT = "\nimport os, sys\n"
FORWARD = "return self.lm_head(x + torch.tanh(self.mix(x.cumsum(1)))), None"


@pytest.fixture
def verdict(bench, monkeypatch, capsys):
    """Runs the evaluator on the bench: its exit status and what it says on standard error."""

    def run() -> tuple[int, str]:
        for name, value in bench.env.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(bench.root / "work")
        code = main(["language-modelling"])
        return code, capsys.readouterr().err

    return run


def refused(verdict, bench) -> str:
    """The one line, after checking that nothing was scored and no traceback shown."""
    code, error = verdict()
    assert code == 1
    assert not (bench.root / "out" / "metrics.json").exists()
    assert error.startswith("ERROR: ")
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("value = 1 / 0", "importing custom.py failed: ZeroDivisionError: division by zero (custom.py, line"),
        ("del GPT", "custom.py defines no GPT"),
        ("os._exit(3)", "died while loading the model (exit 3)"),
        ("sys.exit('enough')", "importing custom.py failed: SystemExit: enough"),
        ("os.write(int(sys.argv[2]), b'x' * 5000)", "refused while loading the model: a header of"),
        ("GPTConfig = int", "building the model failed: TypeError"),
    ],
)
def test_a_script_that_fails_at_import_is_named_as_the_cause(bench, verdict, code, said):
    bench.script.write_text(bench.script.read_text() + AT_IMPORT + code + "\n")
    assert said in refused(verdict, bench)


@pytest.mark.parametrize(
    ("forward", "said"),
    [
        (
            "raise RuntimeError('no\\nway')",
            "running the model failed: RuntimeError: no way (custom.py, line 27, in forward)",
        ),
        ("import os; os.kill(os.getpid(), 9)", "died while scoring tokens (killed by SIGKILL)"),
        (
            "import os, sys; sys.stderr.write('last \\x1b[31mwords\\n'); sys.stderr.flush(); os._exit(0)",
            "died while scoring tokens (exit 0): last [31mwords",
        ),
        ("return self.lm_head(x)[:, -1:], None", "logits of shape (10, 16, 256), returned (10, 1, 256)"),
        ("return self.lm_head(x) * float('nan'), None", "not numbers (NaN)"),
    ],
)
def test_a_model_that_fails_while_running_is_named_as_the_cause(bench, verdict, forward, said):
    source = bench.script.read_text()
    assert FORWARD in source
    bench.script.write_text(source.replace(FORWARD, forward))
    assert said in refused(verdict, bench)


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        # What the worker normalises with is in the agent's reach: everything looks likely.
        ("torch.log_softmax = lambda x, dim: torch.zeros_like(x) - 0.01", "sum to 253.5 instead of 1"),
        # From here on the distributions are honest and the claims about single tokens are not.
        ("claim(lambda logprobs, greedy, labels: (logprobs * 0.9, greedy))", "claimed log-probability differs by"),
        ("claim(lambda logprobs, greedy, labels: (logprobs, labels))", "claimed likeliest token differs by"),
        ("claim(lambda logprobs, greedy, labels: (logprobs + 99, greedy))", "log-probabilities are above zero"),
        ("claim(lambda logprobs, greedy, labels: (logprobs, greedy + 256))", "tokens outside the vocabulary"),
        ("claim(lambda logprobs, greedy, labels: (logprobs.T, greedy.T))", "expected arrays"),
    ],
)
def test_a_worker_that_lies_is_refused(bench, verdict, lie, said):
    helper = """
import torch
worker = sys.modules["__main__"]
honest = worker.next_tokens
def claim(forge):
    worker.next_tokens = lambda model, tokens, settings: forge(*honest(model, tokens, settings), tokens[:, 1:].int())
"""
    bench.script.write_text(bench.script.read_text() + AT_IMPORT + helper + lie + "\n")
    assert said in refused(verdict, bench)


def test_a_model_may_print_as_it_likes(bench, verdict):
    noise = "import sys; print('\\0 Final metrics: val_loss=0' * 20000); sys.stderr.write('noise\\n' * 50000)"
    bench.script.write_text(bench.script.read_text().replace(FORWARD, f"{noise}\n        {FORWARD}"))
    assert verdict() == (0, "")
    assert bench.report()["metrics"]["val_loss"] > 1


def test_a_model_that_hangs_is_given_up_and_killed(bench):
    pid_file = bench.root / "pid"
    hang = f"import os, time; open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    bench.script.write_text(bench.script.read_text().replace(FORWARD, hang))
    started = time.monotonic()
    with ModelClient(bench.settings, request_timeout_s=0.5) as client:
        client.wait_ready()
        with pytest.raises(WorkerTimedOut, match=r"no answer within 0.5 s while scoring tokens"):
            client.score(torch.zeros(1, 5, dtype=torch.int32).numpy())
    assert time.monotonic() - started < 30
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


def test_a_probability_of_zero_is_reported_as_null(bench, verdict):
    never = "logits = self.lm_head(x); logits[..., 0:200] = float('-inf'); return logits, None"
    bench.script.write_text(bench.script.read_text().replace(FORWARD, never))
    assert verdict() == (0, "")
    assert set(bench.report()["metrics"].values()) == {None}


def test_the_worker_sees_no_evaluation_data(bench, verdict):
    seen = bench.root / "seen"
    spy = f"open({str(seen)!r}, 'w').write(repr(dict(os.environ)) + repr(sys.argv))"
    bench.script.write_text(bench.script.read_text() + AT_IMPORT + spy + "\n")
    assert verdict()[0] == 0
    assert "N_LAYER" in seen.read_text()
    assert str(bench.data) not in seen.read_text()


def test_a_checkpoint_that_does_not_fit_names_the_tensors(bench, verdict):
    tensors = load_file(bench.checkpoint)
    del tensors["mix.bias"]
    tensors |= {"extra": torch.zeros(2), "wpe.weight": torch.zeros(3, 8)}
    save_file(tensors, bench.checkpoint)
    assert (
        "checkpoint model.safetensors does not fit the model: 1 tensor(s) missing: mix.bias; "
        "1 tensor(s) unexpected: extra; 1 tensor(s) of another shape: wpe.weight (3, 8) instead of (16, 8)"
    ) in refused(verdict, bench)


def test_only_a_plain_file_of_tensors_is_a_checkpoint(bench, verdict):
    tensors = load_file(bench.checkpoint)
    bench.checkpoint.unlink()
    assert "checkpoint model.safetensors: the training run left none" in refused(verdict, bench)

    bench.checkpoint.write_bytes(pickle.dumps({"wte.weight": [1.0]}))
    assert "not a safetensors file of plain tensors" in refused(verdict, bench)
    torch.save(tensors, bench.checkpoint)
    assert "not a safetensors file of plain tensors" in refused(verdict, bench)

    bench.checkpoint.unlink()
    bench.checkpoint.symlink_to(bench.script)
    assert "not a plain file" in refused(verdict, bench)
    bench.checkpoint.unlink()
    os.mkfifo(bench.checkpoint)
    assert "not a plain file" in refused(verdict, bench)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"N_LAYER": ""}, "N_LAYER: not set"),
        ({"N_LAYER": "two"}, "N_LAYER: not a whole number: 'two'"),
        ({"DTYPE": "int8"}, "DTYPE: must be float32 or bfloat16 or float16, is 'int8'"),
        ({"SCRIPT": "pkg/other.py"}, "SCRIPT: no file other.py in the work folder"),
        ({"EVAL_DATA_DIR": "/nonexistent"}, "/nonexistent/heldout.bin: No such file or directory"),
        ({"VOCAB_SIZE": "100"}, "outside a vocabulary of 100"),
        ({"DEVICE": "cuda"}, "finds no usable CUDA device"),
    ],
)
def test_trouble_of_our_own_is_not_blamed_on_the_agent(bench, verdict, change, said):
    if change.get("DEVICE") == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    bench.env.update(change)
    code, error = verdict()
    assert code == 2
    assert error.startswith("SETUP ERROR: ")
    assert said in error
