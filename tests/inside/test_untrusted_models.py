"""Models that fail, hang or lie: each ends in one clear line and never in a number."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from runner.inside.complaints import SENTENCES
from runner.inside.judge.finding import PASSED
from runner.inside.names import UNHEARD

if TYPE_CHECKING:
    from tests.inside.conftest import Bench

AT_IMPORT = """
import os, stat, sys
def sockets():
    return [fd for fd in map(int, os.listdir("/proc/self/fd")) if fd > 2 and is_socket(fd)]
def is_socket(fd):
    try:
        return stat.S_ISSOCK(os.fstat(fd).st_mode)
    except OSError:
        return False
"""
CLAIM = """
import torch
worker = sys.modules["runner.inside.model_worker.worker"]
honest = worker.next_tokens
def claim(forge):
    worker.next_tokens = lambda model, tokens, settings: forge(*honest(model, tokens, settings), tokens[:, 1:].int())
"""
FORWARD = "return self.lm_head(x + torch.tanh(self.mix(x.cumsum(1)))), None"


Verdict = Callable[[], tuple[int, str]]


@pytest.fixture
def verdict(bench: Bench) -> Verdict:
    """Runs the evaluator on the bench: its exit status and what it says on standard error."""

    def run() -> tuple[int, str]:
        ended = bench.evaluate()
        return ended.returncode, ended.stderr

    return run


def refused(verdict: Verdict, bench: Bench) -> str:
    """The one line, after checking that nothing was scored and no traceback shown."""
    code, error = verdict()
    assert code == 1
    assert not (bench.root / "out" / "metrics.json").exists()
    assert error.startswith("ERROR: ")
    assert error.count("\n") == 1
    return error


def rejected(verdict: Verdict, bench: Bench) -> str:
    """Which audits failed, after checking that no number is left of it."""
    assert verdict() == (0, "")
    assert bench.report()["metrics"] == {}
    return bench.report()["rejected"]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("value = 1 / 0", "importing custom.py failed: ZeroDivisionError: division by zero (custom.py, line"),
        ("del GPT", "custom.py defines no GPT"),
        ("os._exit(3)", "the model's process ended while loading the model"),
        ("sys.exit('enough')", "importing custom.py failed: SystemExit: enough"),
        ("[os.write(fd, b'x' * 5000) for fd in sockets()]", "refused while loading the model: a header of"),
        ("GPTConfig = int", "building the model failed: TypeError"),
    ],
)
def test_a_script_that_fails_at_import_is_named_as_the_cause(
    bench: Bench, verdict: Verdict, code: str, said: str
) -> None:
    bench.script.write_text(bench.script.read_text() + AT_IMPORT + code + "\n")
    assert said in refused(verdict, bench)


@pytest.mark.parametrize(
    ("forward", "said"),
    [
        (
            "raise RuntimeError('no\\nway')",
            "running the model failed: RuntimeError: no way (custom.py, line 27, in forward)",
        ),
        ("import os; os.kill(os.getpid(), 9)", "the model's process ended while scoring tokens"),
        ("import os; os._exit(0)", "the model's process ended while scoring tokens"),
        ("return self.lm_head(x)[:, -1:], None", "must return (logits, loss) with logits of shape"),
        ("return self.lm_head(x) * float('nan'), None", "not numbers (NaN)"),
    ],
)
def test_a_model_that_fails_while_running_is_named_as_the_cause(
    bench: Bench, verdict: Verdict, forward: str, said: str
) -> None:
    source = bench.script.read_text()
    assert FORWARD in source
    bench.script.write_text(source.replace(FORWARD, forward))
    assert said in refused(verdict, bench)


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        ("claim(lambda logprobs, greedy, labels: (logprobs + 99, greedy))", "log-probabilities are above zero"),
        ("claim(lambda logprobs, greedy, labels: (logprobs, greedy + 256))", "tokens outside the vocabulary"),
        ("claim(lambda logprobs, greedy, labels: (logprobs.T, greedy.T))", "were asked for"),
    ],
)
def test_an_answer_that_cannot_be_is_refused(bench: Bench, verdict: Verdict, lie: str, said: str) -> None:
    bench.script.write_text(bench.script.read_text() + AT_IMPORT + CLAIM + lie + "\n")
    assert said in refused(verdict, bench)


@pytest.mark.parametrize(
    ("lie", "audit"),
    [
        # What the worker normalises with is in the agent's reach: everything looks likely.
        ("torch.log_softmax = lambda x, dim: torch.zeros_like(x) - 0.01", "normalisation"),
        # From here on the distributions are honest and the claims about single tokens are not.
        ("claim(lambda logprobs, greedy, labels: (logprobs * 0.9, greedy))", "commitment"),
        ("claim(lambda logprobs, greedy, labels: (logprobs, labels))", "commitment"),
        ("claim(lambda logprobs, greedy, labels: ((logprobs + 0.001).clamp(max=0), greedy))", "bias"),
        ("claim(lambda logprobs, greedy, labels: (logprobs * 0, greedy))", "canary"),
        ("claim(lambda logprobs, greedy, labels: (logprobs * (0.5 + torch.rand(1)), greedy))", "drift"),
    ],
)
def test_a_claim_that_an_honest_model_would_not_make_is_rejected(
    bench: Bench, verdict: Verdict, lie: str, audit: str
) -> None:
    bench.script.write_text(bench.script.read_text() + AT_IMPORT + CLAIM + lie + "\n")
    assert f"{audit}: " in rejected(verdict, bench)


@pytest.mark.parametrize(
    ("forward", "audit"),
    [
        # The token itself, ever so little of it.
        (
            "y = self.lm_head(x); y[:, :-1].scatter_add_(2, idx[:, 1:, None], torch.full_like(y[:, :-1, :1], 0.01)); "
            "return y, None",
            "causality",
        ),
        # The whole block's mean.
        ("return self.lm_head(x + 0.1 * x.mean(1, keepdim=True)), None", "causality"),
        # A row's neighbour.
        ("return self.lm_head(x + 0.1 * x.roll(1, 0)), None", "commitment"),
        # Everything that was ever asked.
        ("self.seen = getattr(self, 'seen', 0) + x[0, 0]; return self.lm_head(x + 0.01 * self.seen), None", "drift"),
    ],
)
def test_a_model_that_looks_where_it_must_not_is_rejected(
    bench: Bench, verdict: Verdict, forward: str, audit: str
) -> None:
    bench.script.write_text(bench.script.read_text().replace(FORWARD, forward))
    assert f"{audit}: " in rejected(verdict, bench)


def test_a_checkpoint_above_the_cap_is_rejected_before_anyone_loads_it(bench: Bench, verdict: Verdict) -> None:
    bench.env["MAX_PARAMETERS"] = "100"
    assert "parameters in the checkpoint, at most 100 are allowed" in rejected(verdict, bench)


def test_a_model_may_print_as_it_likes(bench: Bench, verdict: Verdict) -> None:
    noise = "import sys; print('\\0 Final metrics: val_loss=0' * 20000); sys.stderr.write('noise\\n' * 50000)"
    bench.script.write_text(bench.script.read_text().replace(FORWARD, f"{noise}\n        {FORWARD}"))
    assert verdict() == (0, "")
    assert bench.report()["metrics"]["val_loss"] > 1


def test_a_model_that_hangs_is_given_up_and_killed(bench: Bench, verdict: Verdict) -> None:
    pid_file = bench.root / "pid"
    bench.env["REQUEST_TIMEOUT_S"] = "2"
    hang = f"import os, time; open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    bench.script.write_text(bench.script.read_text().replace(FORWARD, hang))
    bench.env["START_TIMEOUT_S"] = "20"
    assert "gave no answer within 20 s while scoring tokens" in refused(verdict, bench)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


def test_a_probability_of_zero_is_reported_as_null(bench: Bench, verdict: Verdict) -> None:
    never = "logits = self.lm_head(x); logits[..., 0:200] = float('-inf'); return logits, None"
    bench.script.write_text(bench.script.read_text().replace(FORWARD, never))
    assert verdict() == (0, "")
    assert set(bench.report()["metrics"].values()) == {None}


def test_the_worker_sees_no_evaluation_data(bench: Bench, verdict: Verdict) -> None:
    seen = bench.root / "seen"
    spy = f"open({str(seen)!r}, 'w').write(repr(dict(os.environ)) + repr(sys.argv))"
    bench.script.write_text(bench.script.read_text() + AT_IMPORT + spy + "\n")
    assert verdict()[0] == 0
    assert "MEET_DIR" in seen.read_text()
    assert str(bench.data) not in seen.read_text()


def test_a_checkpoint_that_does_not_fit_names_the_tensors(bench: Bench, verdict: Verdict) -> None:
    tensors = load_file(bench.checkpoint)
    del tensors["mix.bias"]
    tensors |= {"extra": torch.zeros(2), "wpe.weight": torch.zeros(3, 8)}
    save_file(tensors, bench.checkpoint)
    assert (
        "the checkpoint does not fit the model: 1 tensor(s) missing: mix.bias; "
        "1 tensor(s) unexpected: extra; 1 tensor(s) of another shape: wpe.weight (3, 8) instead of (16, 8)"
    ) in refused(verdict, bench)


def test_only_a_plain_file_of_tensors_is_a_checkpoint(bench: Bench, verdict: Verdict) -> None:
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
        ({"MAX_PARAMETERS": "none"}, "MAX_PARAMETERS: not a whole number: 'none'"),
        ({"EVAL_DATA_DIR": "/nonexistent"}, "/nonexistent/heldout.bin: No such file or directory"),
        ({"VOCAB_SIZE": "100"}, "outside a vocabulary of 100"),
        ({"DEVICE": "cuda"}, "finds no usable CUDA device"),
    ],
)
def test_trouble_of_our_own_is_not_blamed_on_the_agent(
    bench: Bench, verdict: Verdict, change: dict[str, str], said: str
) -> None:
    if change.get("DEVICE") == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    bench.env.update(change)
    code, error = verdict()
    assert code == 2
    assert error.startswith("SETUP ERROR: ")
    assert said in error


WHEN_REAL = "if idx.shape[1] == 16 and (idx < 128).all(1).sum() > 3: {}"
"""In a forward pass: on evaluation data only, which is text here; random tokens are anything."""


@pytest.mark.parametrize(
    ("deed", "status", "said"),
    [
        ("raise ValueError(str(idx.tolist()))", 3, "the model raised an error on evaluation data"),
        ("import os; os._exit(7)", 4, "the model's process ended on evaluation data"),
        ("import time; time.sleep(60)", 5, "the model gave no answer in time on evaluation data"),
        ("return self.lm_head(x) * float('nan'), None", 6, "the model's answer on evaluation data was not one"),
    ],
)
def test_what_a_model_says_of_evaluation_data_stays_with_the_operator(bench, deed, status, said):
    rng = np.random.default_rng(1)
    rng.integers(32, 127, size=20 * 17).astype("<u2").tofile(bench.data / "heldout.bin")
    deed = WHEN_REAL.format(deed)
    bench.script.write_text(bench.script.read_text().replace(FORWARD, f"{deed}\n        {FORWARD}"))
    ended = bench.evaluate()
    assert ended.returncode == status
    assert UNHEARD[status].startswith(said)
    hidden, told = ended.stderr.splitlines()
    assert told == f"ERROR: {UNHEARD[status]}"
    assert hidden.startswith("NOT FOR THE AGENT: ")
    assert not (bench.root / "out" / "metrics.json").exists()


def test_a_model_that_compiles_in_its_first_answers_is_waited_for(bench, verdict):
    slow = "import time; time.sleep(vars(self).pop('compiling', 3)); self.compiling = 0"
    bench.script.write_text(bench.script.read_text().replace(FORWARD, f"{slow}\n        {FORWARD}"))
    assert verdict() == (0, "")


def test_a_model_may_take_gradients_while_it_runs(bench, verdict):
    inner = """torch.set_grad_enabled(True)
        held = x.detach().requires_grad_()
        x = x - 0.1 * torch.autograd.grad(held.square().sum(), held)[0] * self.wte.weight.square().mean()"""
    bench.script.write_text(bench.script.read_text().replace(FORWARD, f"{inner}\n        {FORWARD}"))
    assert verdict() == (0, "")


def test_the_models_own_loading_code_does_not_run(bench, verdict):
    hooks = """
def cheat(self, *_, **__):
    raise RuntimeError("a hook of the model's ran")
GPT.load_state_dict = GPT._load_from_state_dict = GPT.state_dict = cheat
"""
    bench.script.write_text(bench.script.read_text() + hooks)
    assert verdict() == (0, "")


def test_a_report_has_few_digits_and_no_place(bench, verdict):
    assert verdict() == (0, "")
    report = bench.report()
    assert all(float(f"{value:.6g}") == value for value in report["metrics"].values())
    shares = {round(audit["figure"] / audit["limit"], 9) for audit in report["audits"][1:]}
    assert shares <= set(PASSED)
    assert {audit["where"] for audit in report["audits"]} == {"", "val_loss", "wikitext2_ppl"}
    assert {audit["name"] for audit in report["audits"]} == set(SENTENCES)
