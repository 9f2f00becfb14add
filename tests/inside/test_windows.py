"""How texts are cut, and how large losses are reported."""

from __future__ import annotations

import hashlib
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.utils import get_rolling_token_windows
from safetensors.numpy import save_file

from runner.inside.judge.checkpoint import Checkpoint, open_checkpoint
from runner.inside.judge.finding import AuditFinding, size_audit
from runner.inside.judge.language import continuation, rolling_windows, truncated, word_perplexity
from runner.inside.judge.passages import WIDTHS, width_of
from runner.inside.judge.report import EvaluationReport, write_report
from runner.inside.judge.tokenizer import ByteTokenizer


@given(st.lists(st.integers(0, 255), max_size=60), st.integers(1, 20))
def test_rolling_windows_are_those_of_the_harness(tokens: list[int], block_size: int) -> None:
    ours = [(list(window.tokens), window.scored) for window in rolling_windows(tokens, 10, block_size)]
    theirs = get_rolling_token_windows(tokens, prefix_token=10, max_seq_len=block_size, context_len=1)
    assert ours == [([*inputs, scored[-1]], len(scored)) for inputs, scored in theirs]


@given(st.text(max_size=30), st.text(min_size=1, max_size=30), st.integers(1, 40))
def test_a_continuation_keeps_its_end_and_at_least_one_token_of_context(
    context: str, text: str, block_size: int
) -> None:
    passage = continuation(ByteTokenizer(), context, text, block_size)
    whole = (context.encode() or b"\n") + text.encode()
    assert bytes(passage.tokens) == whole[-(block_size + 1) :]
    assert passage.scored == min(len(text.encode()), len(passage.tokens) - 1)


def test_a_short_continuation_of_a_long_context_is_scored_whole() -> None:
    passage = truncated([1, 2, 3, 4, 5], [6, 7], block_size=4)
    assert (list(passage.tokens), passage.scored) == ([3, 4, 5, 6, 7], 2)


@given(st.integers(1, 2048), st.data())
def test_lengths_asked_about_are_few_and_even_and_hold_what_they_have_to(block_size: int, data: st.DataObject) -> None:
    length = data.draw(st.integers(1, block_size))
    width = width_of(length, block_size)
    assert length <= width <= block_size
    assert width % 16 == 0 or width == block_size
    assert width - length < block_size / WIDTHS + 16
    assert len({width_of(number, block_size) for number in range(1, block_size + 1)}) <= WIDTHS


@pytest.mark.parametrize(("logprob", "perplexity"), [(-1.0, math.e), (-1e6, sys.float_info.max), (-math.inf, math.inf)])
def test_a_perplexity_is_infinite_only_for_a_probability_of_zero(logprob: float, perplexity: float) -> None:
    measured = word_perplexity(ByteTokenizer(), ["word"], 16)
    assert len(measured.passages) == 1
    assert measured.value(-logprob / measured.passages[0].scored) == pytest.approx(perplexity)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    save_file({"ab": np.zeros(3, np.float32)}, tmp_path / "model.safetensors")
    return open_checkpoint(tmp_path / "model.safetensors")


def finding(name: str, figure: float, limit: float, unit: str, place: str = "") -> AuditFinding:
    return AuditFinding(name=name, figure=figure, limit=limit, unit=unit, samples=9, place=place)


def test_a_report_is_strict_json_and_replaces_an_older_one(tmp_path: Path, checkpoint: Checkpoint) -> None:
    out = tmp_path / "out"
    out.mkdir()
    drift = finding("drift", 0.5, 1.0, "nats", "position 3")
    for loss in (1.0, 2.5):
        write_report(EvaluationReport(checkpoint, {"val_loss": loss, "ppl": math.inf}, [drift], {"tokens": 7}), out)
    text = (out / "metrics.json").read_text()
    assert json.loads(text) == {
        "metrics": {"val_loss": 2.5, "ppl": None},
        "parameters": 3 + len("ab") + 8,
        "checkpoint_sha256": hashlib.sha256((tmp_path / "model.safetensors").read_bytes()).hexdigest(),
        "rejected": None,
        "audits": [
            {
                "name": "drift",
                "passed": True,
                "figure": 0.5,
                "limit": 1.0,
                "unit": "nats",
                "samples": 9,
                "where": "",
            }
        ],
        "details": {"tokens": 7},
    }
    assert [path.name for path in out.iterdir()] == ["metrics.json"]


def test_a_failed_audit_leaves_no_metric_and_says_which_and_by_how_much_but_not_where(
    tmp_path: Path, checkpoint: Checkpoint
) -> None:
    audits = [
        finding("normalisation", 0.0, 1e-3, "probability"),
        finding("commitment", 3.25, 2e-3, "nats", "val_loss, sequence 3, position 8"),
        size_audit(1234567, 1000),
    ]
    write_report(EvaluationReport(checkpoint, {"val_loss": 0.1}, audits), tmp_path)
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert written["metrics"] == {}
    assert "commitment: a log-probability that was scored differs by 2 nats" in written["rejected"]
    assert "sequence 3" not in json.dumps(written)
    assert "1,234,567 parameters in the checkpoint, at most 1,000 are allowed" in written["rejected"]
    assert "normalisation" not in written["rejected"]
