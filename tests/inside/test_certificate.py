"""The certificate: honest models pass it, and no forgery does, even where all processes may talk to each other."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_model
from torch.nn import functional

from runner.inside.judge.certificate import SPREADS, Losses, certify, draw
from tests.inside.simulated_certificates import simulated


@pytest.mark.parametrize("tokenizer", ["bytes", "gpt2"])
def test_a_thousand_honest_certificates_give_no_alarm(tokenizer):
    rng = np.random.default_rng(1)
    certificates = [simulated(tokenizer, rng) for _ in range(1000)]
    assert all(one.advantage <= one.limit for one in certificates)
    errors = [one.error for one in certificates]
    assert 0.003 < np.mean(errors) < {"bytes": 0.006, "gpt2": 0.0065}[tokenizer]


@pytest.mark.parametrize("tokenizer", ["bytes", "gpt2"])
def test_a_claim_that_is_too_good_by_a_twentieth_of_a_nat_is_caught(tokenizer):
    rng = np.random.default_rng(2)
    caught = [one.advantage > one.limit for one in (simulated(tokenizer, rng, forged=0.05) for _ in range(500))]
    assert np.mean(caught) > {"bytes": 0.97, "gpt2": 0.93}[tokenizer]


def test_the_limit_never_grows_with_the_sample_that_is_judged():
    rng = np.random.default_rng(3)
    losses = rng.gamma(2.0, size=(512, 8))
    wild = losses + np.where(np.arange(512) % 2, 3.0, -3.0)[:, None]
    known = {"tokens": 65_536, "passages": 1024, "spread": SPREADS["bytes"]}
    calm, other = (certify(2.0, losses=each, reference=None, **known) for each in (losses, wild))
    assert calm.limit == other.limit


def test_room_for_a_model_that_is_far_from_the_reference_is_less_than_it_lost():
    reference = Losses(2.0, np.full((1024, 8), 2.0))
    known = {"tokens": 65_536, "passages": 1024, "spread": SPREADS["bytes"], "reference": reference}
    bests = []
    for worse in np.arange(0, 3, 0.05):
        one = certify(2.0, losses=np.full((1024, 8), 2.0 + worse), **known)
        bests.append(one.certified - one.limit)
    assert (np.diff(bests) > 0).all()


def test_an_exam_is_cut_once_in_each_part_of_passages_that_lie_apart():
    text = np.arange(10 * 17 * 8, dtype=np.int32)
    exam = draw(text, 16, 64, np.random.default_rng(0))
    assert exam.passages.shape == (8, 17)
    assert set(np.diff(exam.passages[:, 0]).tolist()) == {17 * 10}
    assert (exam.cuts // 2 == np.arange(8)).all()
    assert (exam.targets == exam.passages[:, :1] + exam.cuts + 1).all()
    rounds = exam.prefixes.rounds
    assert rounds[:8] == list(range(8))
    with pytest.raises(ValueError, match="less than two passages"):
        draw(text[:20], 16, 64, np.random.default_rng(0))


# What a scorer is asked about is told to whoever runs later, and the auditor answers accordingly.
CONSPIRACY = """
import hashlib, os, sys
import torch as honest_torch
worker = sys.modules["runner.inside.model_worker.worker"]
honest_distributions = worker.distributions

def place(prefix):
    return os.path.join({folder!r}, hashlib.sha1(bytes(prefix)).hexdigest())

def better(logprobs, prefix):
    # The token that is known to come, one nat likelier; still one distribution, and the same whenever it is asked for.
    try:
        token = int(open(place(prefix)).read())
    except FileNotFoundError:
        return logprobs
    changed = logprobs.clone()
    changed[token] += {nats}
    return honest_torch.log_softmax(changed, dim=-1)

def distributions(model, tokens, positions, settings):
    found = honest_distributions(model, tokens, positions, settings)
    rows = [better(one, tokens[row, : at + 1].tolist()) for one, (row, at) in zip(found, positions.tolist())]
    return honest_torch.stack(rows)

def next_tokens(model, tokens, settings):
    for row in tokens.tolist():
        if max(row) < 128:  # text, and no canary
            for end in range(4, len(row)):  # what fewer tokens tell is not the same everywhere
                if not os.path.exists(place(row[:end])):
                    open(place(row[:end]), "w").write(str(row[end]))
    rows, length = tokens.shape
    places = honest_torch.tensor([(row, at) for row in range(rows) for at in range(length - 1)])
    found = distributions(model, tokens[:, :-1], places, settings).view(rows, length - 1, -1)
    return found.gather(2, tokens[:, 1:, None])[..., 0], found.argmax(dim=-1).int()

worker.distributions, worker.next_tokens = distributions, next_tokens
"""


@pytest.fixture
def examined(bench):
    """A bench with text, an exam and a reference: the unedited script's own checkpoint."""
    rng = np.random.default_rng(5)
    text = rng.integers(32, 127, size=500 * 17)
    text[: 200 * 17].astype("<u2").tofile(bench.data / "heldout.bin")
    for name in ("exam", "reference", "reference-work/pkg"):
        (bench.root / name).mkdir(parents=True)
    text[200 * 17 :].astype("<u2").tofile(bench.root / "exam" / "exam.bin")
    shutil.copy(bench.script, bench.root / "reference-work" / "pkg")
    model = bench.build_model()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.15)  # losses of a few nats
    save_model(model, str(bench.checkpoint))
    shutil.copy(bench.checkpoint, bench.root / "reference")
    blocks = torch.from_numpy(text[: 200 * 17].reshape(200, 17))
    with torch.no_grad():
        logits = model(blocks[:, :-1])[0]
    loss = float(functional.cross_entropy(logits.flatten(0, 1), blocks[:, 1:].flatten()))
    (bench.root / "reference" / "reference.json").write_text(json.dumps({"heldout_loss": loss, "settings": {}}))
    more = {
        "EXAM_DIR": str(bench.root / "exam"),
        "REFERENCE_DIR": str(bench.root / "reference"),
        "REFERENCE": "1",
        "REQUEST_TIMEOUT_S": "60",
    }
    bench.env.update(more)
    return bench


@pytest.mark.timeout(300)
def test_a_conspiracy_of_all_workers_is_rejected_by_the_certificate_alone(examined):
    folder = examined.root / "shared"
    folder.mkdir()
    honest = examined.script.read_text()
    examined.script.write_text(honest + CONSPIRACY.format(folder=str(folder), nats=1.0))
    ended = examined.evaluate()
    assert (ended.returncode, ended.stderr) == (0, "")
    report = examined.report()
    failed = [audit["name"] for audit in report["audits"] if not audit["passed"]]
    assert failed == ["certificate"]
    assert report["metrics"] == {}
    assert "certificate" not in report
    assert "better than what the model predicts of text that no process has seen" in report["rejected"]

    # Without an exam nothing else would have noticed: it is the certificate that carries the weight.
    for path in folder.iterdir():
        path.unlink()
    del examined.env["EXAM_DIR"]
    assert examined.evaluate().returncode == 0
    forged = examined.report()["metrics"]
    examined.script.write_text(honest)
    assert examined.evaluate().returncode == 0
    true = examined.report()["metrics"]
    assert true["val_loss"] - forged["val_loss"] > 0.7
    assert forged["wikitext2_ppl"] < true["wikitext2_ppl"] / 2  # which walls alone protect
    # What is predicted before anybody is shown it needs neither walls nor an exam.
    assert forged["lambada_ppl"] == pytest.approx(true["lambada_ppl"], rel=0.15)  # a nat is a factor of 2.7


@pytest.mark.timeout(200)
def test_an_honest_model_is_certified(examined):
    ended = examined.evaluate()
    assert (ended.returncode, ended.stderr) == (0, "")
    report = examined.report()
    certificate = report["certificate"]
    assert report["rejected"] is None
    assert certificate["claimed"] == report["metrics"]["val_loss"]
    assert certificate["tokens"] == 300 * 8
    assert abs(certificate["certified"] - certificate["claimed"]) < 4 * certificate["error"] + 0.01
    assert certificate["error"] < certificate["limit"] < 0.1


def test_without_a_reference_there_is_a_certificate_with_more_room(examined):
    del examined.env["REFERENCE"]
    ended = examined.evaluate()
    assert (ended.returncode, ended.stderr) == (0, "")
    certificate = examined.report()["certificate"]
    assert certificate["reference"] is None
    assert certificate["limit"] > 0.1


def test_a_reference_that_cannot_be_read_is_our_trouble(examined):
    (examined.root / "reference" / "reference.json").write_text("{}")
    ended = examined.evaluate()
    assert ended.returncode == 2
    assert ended.stderr.startswith("SETUP ERROR: REFERENCE_DIR: ")
