"""Labels of downstream tasks: workers are shown all endings of an item alike, whichever is the right one."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from runner.data.smoke import prepare_smoke
from runner.inside.names import UNHEARD
from tests.inside.conftest import Bench

FORWARD = "return self.lm_head(x + torch.tanh(self.mix(x.cumsum(1)))), None"

SPY = """
import sys
worker = sys.modules["runner.inside.model_worker.worker"]
honest_next_tokens = worker.next_tokens

def next_tokens(model, tokens, settings):
    with open({file!r}, "a") as file:
        print(*(bytes(row).hex() for row in tokens.tolist()), file=file)
    return honest_next_tokens(model, tokens, settings)

worker.next_tokens = next_tokens
"""
ANOTHER = {
    "arc_easy": ("answerKey", {"A": "B", "B": "C", "C": "D", "D": "A"}),
    "hellaswag": ("label", {"0": "1", "1": "2", "2": "3", "3": "0"}),
    "piqa": ("label", {0: 1, 1: 0}),
    "winogrande": ("answer", {"1": "2", "2": "1"}),
}
"""By task the field with the label, and another label for each."""


def shown(file: Path) -> Counter[bytes]:
    """The texts that the scorer was shown, and how often; random tokens are left out."""
    *calls, _drift = file.read_text().splitlines()  # which has the first batch again, with random ends
    rows = [bytes.fromhex(row) for call in calls for row in call.split()]
    return Counter(row for row in rows if max(row) < 128)


@pytest.mark.timeout(400)
def test_what_workers_are_shown_does_not_depend_on_labels(bench: Bench) -> None:
    prepare_smoke(bench.root, b"a seed for tests")
    data = bench.root / "smoke" / "heldout"
    bench.env["EVAL_DATA_DIR"] = str(data)
    honest = bench.script.read_text()
    found, metrics = [], []
    for name in ("as they are", "others"):
        bench.script.write_text(honest + SPY.format(file=str(bench.root / name)))
        ended = bench.evaluate("lm-eval")
        assert (ended.returncode, ended.stderr) == (0, "")
        found.append(shown(bench.root / name))
        metrics.append(bench.report()["metrics"])
        for task, (field, other) in ANOTHER.items():
            items = [json.loads(line) for line in (data / f"{task}.jsonl").read_text().splitlines()]
            relabelled = [{**item, field: other[item[field]]} for item in items]
            (data / f"{task}.jsonl").write_text("".join(json.dumps(item) + "\n" for item in relabelled))
    assert sum(found[0].values()) > 800  # four endings, or two, of each of 400 items
    assert found[0] == found[1]
    assert metrics[0] != metrics[1]


@pytest.mark.parametrize("deed", ["at load", "at the first call"])
def test_a_later_stage_never_tells_what_the_model_says(bench: Bench, deed: str) -> None:
    """Its code was shown evaluation data in an earlier one, and processes of one host can whisper."""
    prepare_smoke(bench.root, b"a seed for tests")
    bench.env["EVAL_DATA_DIR"] = str(bench.root / "smoke" / "heldout")
    text = bench.script.read_text()
    if deed == "at load":
        text = f"raise ValueError('what was whispered')\n{text}"
    else:
        text = text.replace(FORWARD, f"raise ValueError('what was whispered')\n        {FORWARD}")
    bench.script.write_text(text)
    ended = bench.evaluate("lm-eval")
    *_, hidden, told = ended.stderr.splitlines()
    assert ended.returncode in UNHEARD
    assert told == f"ERROR: {UNHEARD[ended.returncode]}"
    assert hidden.startswith("NOT FOR THE AGENT: ")
    assert not (bench.root / "out" / "metrics.json").exists()
