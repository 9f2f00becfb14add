"""What the evaluator reports, against plain torch computations one token at a time."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch.nn import functional

from runner.data import prepare_smoke
from runner.inside.judge.checkpoint import open_checkpoint

if TYPE_CHECKING:
    from tests.inside.conftest import Bench


TEMPLATE = Path(__file__).parents[2] / "templates" / "custom_pretrain.py"


def logprob(model: torch.nn.Module, context: Sequence[int], token: int) -> float:
    with torch.inference_mode():
        logits = model(torch.tensor([list(context)]))[0][0, -1].double()
    return float(torch.log_softmax(logits, dim=0)[token])


KEEP = """
def kept(self, idx, targets=None, honest=GPT.forward):
    torch.save(self.state_dict(), {path!r})
    GPT.forward = honest
    return honest(self, idx, targets)
GPT.forward = kept
"""


def keep_what_arrives(bench: Bench) -> None:
    """Have the model put the weights that it was given into a file: they are not quite those that were trained."""
    text = bench.script.read_text()
    bench.script.write_text(text + KEEP.format(path=str(bench.root / "arrived")))


def as_it_arrived(bench: Bench) -> torch.nn.Module:
    model = bench.build_model()
    model.load_state_dict(torch.load(bench.root / "arrived"))
    return model


@pytest.fixture(params=["tiny", "template"])
def any_bench(request: pytest.FixtureRequest, make_bench: Callable[[str], Bench], tiny_script: str) -> Bench:
    bench = make_bench(tiny_script if request.param == "tiny" else TEMPLATE.read_text())
    bench.env["EVAL_TOKENS"] = str(8 * bench.settings.model.block_size + 3)  # of ten blocks
    return bench


def test_losses_and_perplexities_equal_direct_computations(any_bench: Bench) -> None:
    built = any_bench.save_checkpoint()
    keep_what_arrives(any_bench)
    size = any_bench.settings.model.block_size

    ended = any_bench.evaluate()

    assert (ended.returncode, ended.stderr) == (0, "")
    report = any_bench.report()
    model = as_it_arrived(any_bench)
    assert set(report["metrics"]) == {"val_loss", "wikitext2_ppl", "lambada_ppl"}

    tokens = np.fromfile(any_bench.data / "heldout.bin", dtype="<u2")[: 8 * (size + 1)].astype(np.int64)
    blocks = torch.from_numpy(tokens).view(8, size + 1)
    with torch.inference_mode():
        loss = functional.cross_entropy(model(blocks[:, :-1])[0].flatten(0, 1), blocks[:, 1:].flatten())
    said = re.findall(r"^(\w+): (\S+) nats a token$", ended.stdout, re.MULTILINE)
    exact = {name: float(nats) for name, nats in said}
    assert exact["val_loss"] == pytest.approx(float(loss), abs=1e-4)
    assert report["metrics"]["val_loss"] == pytest.approx(min(float(loss), math.log(256) + 1), abs=0.02)
    assert report["details"]["val_tokens"] == 8 * size

    total = words = count = 0.0
    for line in (any_bench.data / "wikitext2.jsonl").read_text().splitlines():
        text = json.loads(line)["text"]
        ids = [10, *text.encode()]
        words += len(text.split())
        count += len(ids) - 1
        for i in range(1, len(ids)):
            window_end = min((i - 1) // size * size + size, len(ids) - 1)
            start = max(0, window_end - size)
            total += logprob(model, ids[start:i], ids[i])
    assert exact["wikitext2_ppl"] == pytest.approx(-total / count, rel=1e-5, abs=2e-5)
    assert report["metrics"]["wikitext2_ppl"] == pytest.approx(
        math.exp(min(-total / count, math.log(256) + 1) * count / words), rel=0.2
    )
    assert report["details"]["wikitext2_words"] == words

    total, count = 0.0, 0
    passages = [json.loads(line)["text"] for line in (any_bench.data / "lambada.jsonl").read_text().splitlines()]
    for passage in passages:
        ids = list(passage.encode())
        start = max(0, len(ids) - size - 1)
        count += len(ids) - passage.rindex(" ")
        for i in range(passage.rindex(" "), len(ids)):
            total += logprob(model, ids[start:i], ids[i])
    assert exact["lambada_ppl"] == pytest.approx(-total / count, rel=1e-5, abs=2e-5)
    assert report["metrics"]["lambada_ppl"] == pytest.approx(
        math.exp(min(-total / count, math.log(256) + 1) * count / len(passages)), rel=0.2
    )

    distinct = {parameter.data_ptr(): parameter.numel() for parameter in built.parameters()}
    charged = open_checkpoint(any_bench.checkpoint)
    assert report["parameters"] == sum(distinct.values()) + sum(
        len(tensor.name) + 8 * len(tensor.shape) for tensor in charged.tensors
    )
    audits = {audit["name"]: audit for audit in report["audits"]}
    assert all(audit["passed"] for audit in audits.values())
    assert audits["commitment"]["samples"] > 8 + len(passages)  # every block and passage, and windows of documents
    assert report["rejected"] is None


def test_the_harness_scores_the_smoke_data_as_one_would_by_hand(bench: Bench) -> None:
    prepare_smoke(bench.root, b"a seed for tests")
    bench.env["EVAL_DATA_DIR"] = str(bench.root / "smoke" / "heldout")
    keep_what_arrives(bench)
    size = bench.settings.model.block_size

    ended = bench.evaluate("lm-eval")

    assert (ended.returncode, ended.stderr) == (0, "")
    report = bench.report()
    assert set(report["metrics"]) == {"arc_easy", "hellaswag", "piqa", "winogrande"}
    assert all(0 <= value <= 100 for value in report["metrics"].values())

    model = as_it_arrived(bench)

    def choose(prompt: str, endings: Sequence[str]) -> int:
        sums = []
        for ending in endings:
            ids = list(f"{prompt} {ending}".encode())
            start, first = max(0, len(ids) - size - 1), max(len(prompt.encode()), len(ids) - size)
            sums.append(sum(logprob(model, ids[start:i], ids[i]) for i in range(first, len(ids))))
        return int(np.argmax(sums))

    def accuracy(name: str, is_right) -> float:
        lines = (bench.root / "smoke" / "heldout" / f"{name}.jsonl").read_text().splitlines()
        right = [is_right(json.loads(line)) for line in lines]
        assert report["details"][f"{name}_items"] == len(right) == 100
        return 100 * sum(right) / len(right)

    def arc_easy(item) -> bool:
        chosen = choose(f"Question: {item['question']}\nAnswer:", item["choices"]["text"])
        return item["choices"]["label"][chosen] == item["answerKey"]

    def piqa(item) -> bool:
        return choose(f"Question: {item['goal']}\nAnswer:", [item["sol1"], item["sol2"]]) == item["label"]

    assert report["metrics"]["arc_easy"] == pytest.approx(accuracy("arc_easy", arc_easy))
    assert report["metrics"]["piqa"] == pytest.approx(accuracy("piqa", piqa))

    # As many claims of each task are audited, whatever its size.
    audited = {audit["where"]: audit["samples"] for audit in report["audits"] if audit["name"] == "bias"}
    assert audited == dict.fromkeys(report["metrics"], bench.settings.audit_samples)
