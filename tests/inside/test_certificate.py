"""The certificate: honest models pass it, and no forgery does, even where all processes may talk to each other."""

from __future__ import annotations

import json
import re
import shutil
from random import Random

import numpy as np
import pytest
import torch
from safetensors.torch import save_model
from torch.nn import functional

from runner.data.author import write
from runner.data.items import evaluation_sets
from runner.inside.judge.certificate import ROUNDING, SPREADS, Extent, Losses, certify
from runner.inside.judge.exam import draw
from runner.inside.judge.language import last_word_perplexity, rolling_windows
from runner.inside.judge.places import every_place, spread_places
from runner.inside.judge.tokenizer import load_tokenizer
from tests.inside.simulated_certificates import EXAMS, simulated

MOST_ROOM = {
    ("bytes", "val_loss"): 0.034,
    ("bytes", "wikitext2_ppl"): 0.09,
    ("bytes", "lambada_ppl"): 0.205,
    ("gpt2", "val_loss"): 0.039,
    ("gpt2", "wikitext2_ppl"): 0.073,
}
"""Nats a token, as docs/trust.md states them."""

every_exam = pytest.mark.parametrize(("tokenizer", "metric"), EXAMS)


@every_exam
def test_a_thousand_honest_certificates_give_no_alarm(tokenizer, metric):
    rng = np.random.default_rng(1)
    certificates = [simulated(tokenizer, metric, rng) for _ in range(1000)]
    assert all(one.advantage <= one.limit for one in certificates)
    # Of text that has many tokens the claim has no luck to speak of, and the error is that of the exam alone.
    low, high = {
        ("bytes", "val_loss"): (0.003, 0.006),
        ("bytes", "wikitext2_ppl"): (0.01, 0.014),
        ("bytes", "lambada_ppl"): (0.015, 0.027),
        ("gpt2", "val_loss"): (0.003, 0.0065),
        ("gpt2", "wikitext2_ppl"): (0.009, 0.014),
    }[tokenizer, metric]
    assert low < np.mean([one.error for one in certificates]) < high


@every_exam
def test_an_honest_claim_is_too_good_less_often_than_once_in_ten_thousand(tokenizer, metric):
    rng = np.random.default_rng(4)
    for model in EXAMS[tokenizer, metric].models:
        certificates = [simulated(tokenizer, metric, rng, model=model) for _ in range(500)]
        room = np.array([one.limit - one.advantage for one in certificates])
        assert room.mean() / room.std() > 3.72  # of the normal distribution's tail


@every_exam
def test_a_claim_that_is_much_too_good_is_caught(tokenizer, metric):
    rng = np.random.default_rng(2)
    forged = {"val_loss": 0.05, "wikitext2_ppl": 0.2, "lambada_ppl": 0.4}[metric]
    caught = [
        one.advantage > one.limit for one in (simulated(tokenizer, metric, rng, forged=forged) for _ in range(500))
    ]
    assert np.mean(caught) > 0.93


def test_the_limit_never_grows_with_the_sample_that_is_judged():
    rng = np.random.default_rng(3)
    losses = rng.gamma(2.0, size=(512, 8))
    wild = losses + np.where(np.arange(512) % 2, 3.0, -3.0)[:, None]
    for texts in (np.repeat(np.arange(512), 8), None):
        known = {"claim": Extent(65_536, 1024), "texts": texts, "spread": SPREADS["bytes"]["val_loss"]}
        calm, other = (certify(2.0, losses=each.ravel(), reference=None, **known) for each in (losses, wild))
        assert calm.limit == other.limit  # both scatter more than honest models
        narrow = certify(2.0, losses=0.1 * losses.ravel(), reference=None, **known)
        assert narrow.limit < calm.limit


@every_exam
def test_no_model_gets_more_room_than_a_stated_figure(tokenizer, metric):
    about = EXAMS[tokenizer, metric]
    rng = np.random.default_rng(8)
    texts = None if about.own else np.arange(about.exam.tokens) % about.exam.texts
    limits = [
        certify(
            0.0,
            claim=about.claim,
            losses=4.0 + apart + scatter * rng.standard_normal(about.exam.tokens),
            texts=texts,
            spread=SPREADS[tokenizer][metric],
            reference=Losses(4.0, np.full(about.exam.tokens, 4.0)),
        ).limit
        for apart in (-3.0, -0.5, 0.0, 0.5, 3.0)
        for scatter in (0.5, 2.0, 10.0)
    ]
    assert max(limits) <= MOST_ROOM[tokenizer, metric]
    assert max(limits) > 0.95 * MOST_ROOM[tokenizer, metric]


@every_exam
def test_room_for_a_model_that_is_far_from_the_reference_is_less_than_it_lost(tokenizer, metric):
    about = EXAMS[tokenizer, metric]
    count = about.exam.tokens
    texts = None if about.own else np.arange(count) % about.exam.texts
    reference = Losses(2.0, np.full(count, 2.0))
    known = {"claim": about.claim, "texts": texts, "spread": SPREADS[tokenizer][metric], "reference": reference}
    bests = []
    for worse in np.arange(0, 3, 0.05):
        one = certify(2.0, losses=np.full(count, 2.0 + worse), **known)
        bests.append(one.certified - one.limit)
    assert (np.diff(bests) > 0).all()


def test_the_error_is_that_of_a_mean_over_whole_texts():
    texts = np.array([3, 3, 3, 5, 5, 9])
    losses = np.array([1.0, 2.0, 3.0, 0.0, 4.0, 2.0])
    # Sums of the differences to the mean, 2: 0, 0 and 0. Moved by one in a text of three: 1.5, -1, -0.5 from 2.5.
    known = {"claim": Extent(6, 3), "spread": SPREADS["bytes"]["val_loss"], "reference": None}
    assert certify(2.0, losses=losses, texts=texts, **known).error == 0
    moved = certify(2.0, losses=losses + (texts == 3), texts=texts, **known)
    assert moved.error == pytest.approx((3 / 2 * (1.5**2 + 1**2 + 0.5**2)) ** 0.5 / 6)


def test_a_text_of_which_all_was_predicted_leaves_no_room_but_for_rounding():
    losses = np.random.default_rng(0).gamma(2.0, size=100)
    one = certify(
        float(losses.mean()),
        claim=Extent(100, 4),
        losses=losses,
        texts=None,
        spread=SPREADS["bytes"]["wikitext2_ppl"],
        reference=None,
    )
    assert one.error == 0
    assert one.limit == ROUNDING


def test_an_exam_has_a_place_in_each_part_of_passages_that_lie_apart():
    text = np.arange(10 * 17 * 8, dtype=np.int32)
    places = draw(text, 16, 64, np.random.default_rng(0))
    assert [len(passage.tokens) for passage in places.passages] == [17] * 8
    firsts = np.array([passage.tokens[0] for passage in places.passages])
    assert set(np.diff(firsts).tolist()) == {17 * 10}
    numbers, cuts = np.array(places.chosen).reshape(8, 8, 2).transpose(2, 0, 1)
    assert (numbers == np.arange(8)[:, None]).all()
    assert (cuts // 2 == np.arange(8)).all()
    assert (places.targets == firsts[numbers.ravel()] + cuts.ravel() + 1).all()
    assert list(places.prefixes.rounds) == list(range(8)) * 8
    assert places.texts.tolist() == np.repeat(np.arange(8), 8).tolist()
    with pytest.raises(ValueError, match="less than two passages"):
        draw(text[:20], 16, 64, np.random.default_rng(0))


def test_documents_are_asked_about_as_often_as_they_are_long_and_a_longer_prefix_comes_later():
    rng = np.random.default_rng(0)
    lengths = [40, 7, 100]
    windows = [
        window
        for number, length in enumerate(lengths)
        for window in rolling_windows(rng.integers(32, 127, size=length).tolist(), 10, 16, number)
    ]
    counts = np.zeros((200, 3))
    for row in counts:
        places = spread_places(windows, 49, rng)
        assert len(places) == 49
        reached = [windows[i].start + place - windows[i].places.start for i, place in places.chosen]
        rounds, texts = places.prefixes.rounds, places.texts
        for number in range(3):
            of_text = [(reached[i], rounds[i]) for i in np.flatnonzero(texts == number)]
            assert [step for _, step in sorted(of_text)] == list(range(len(of_text)))
            row[number] = len(of_text)
    assert np.abs(counts.mean(axis=0) - np.array(lengths) / 3).max() < 0.2


def test_what_another_passage_shows_is_predicted_before(tmp_path):
    sets = evaluation_sets(lambda name: list(write(f"a seed for {name}".encode(), 80_000)), Random(1))
    texts = [str(item["text"]) for item in sets["lambada.jsonl"]]
    passages = last_word_perplexity(load_tokenizer("bytes", tmp_path), texts, 64).passages
    places = every_place(passages)
    of_passage = [[] for _ in texts]
    for (i, _), number in zip(places.chosen, places.prefixes.rounds, strict=True):
        of_passage[i].append(number)
    shown = [
        (i, j)
        for i, text in enumerate(texts)
        for j, other in enumerate(texts)
        if i != j and other.startswith(text.partition(". ")[2])
    ]
    assert len(shown) > 3
    assert all(max(of_passage[i]) < min(of_passage[j]) for i, j in shown)
    assert all(rounds == sorted(set(rounds)) for rounds in of_passage)


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

def tell(row):
    if max(row) < 128 and sum(row[:4]) % 100 < {share}:  # text, and no canary
        for end in range(4, len(row)):  # what fewer tokens tell is not the same everywhere
            if not os.path.exists(place(row[:end])):
                open(place(row[:end]), "w").write(str(row[end]))

def distributions(model, tokens, positions, settings):
    found = honest_distributions(model, tokens, positions, settings)
    for row, at in positions.tolist():
        tell(tokens[row, : at + 1].tolist())
    rows = [better(one, tokens[row, : at + 1].tolist()) for one, (row, at) in zip(found, positions.tolist())]
    return honest_torch.stack(rows)

def next_tokens(model, tokens, settings):
    for row in tokens.tolist():
        tell(row)
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
    write_sets(bench.data, rng)
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


def lines(texts):
    return "".join(json.dumps({"text": text}) + "\n" for text in texts)


def write_sets(folder, rng):
    """Documents and passages of random words, of which none is in another file."""
    words = ["".join(rng.choice(list("abcdefghijklmnop"), size=5)) for _ in range(900)]
    (folder / "wikitext2.jsonl").write_text(lines(" ".join(words[i : i + 12]) for i in range(0, 600, 12)))
    (folder / "lambada.jsonl").write_text(lines(" ".join(words[i : i + 4]) for i in range(600, 900, 4)))


def printed(ended, metric):
    """The mean loss that an evaluation measured, rejected or not: for the operator's eyes."""
    (loss,) = re.findall(rf"^{metric}: (\S+) nats a token$", ended.stdout, re.MULTILINE)
    return float(loss)


def objections(report):
    return {audit["where"]: audit["figure"] for audit in report["audits"] if not audit["passed"]}


@pytest.mark.timeout(300)
def test_a_conspiracy_of_all_workers_is_rejected_by_the_certificates_alone(examined):
    folder = examined.root / "shared"
    folder.mkdir()
    honest = examined.evaluate()
    script = examined.script.read_text()
    examined.script.write_text(script + CONSPIRACY.format(folder=str(folder), nats=1.0, share=100))
    ended = examined.evaluate()
    assert (ended.returncode, ended.stderr) == (0, "")
    report = examined.report()
    # No other audit notices, and each number was made better by as much as the conspiracy liked.
    assert {audit["name"] for audit in report["audits"] if not audit["passed"]} == {"certificate"}
    assert objections(report).keys() == {"val_loss", "wikitext2_ppl"}
    assert report["metrics"] == {}
    assert "certificate" not in report
    assert "better than what the model predicts of text that no process has seen" in report["rejected"]
    # What is predicted before anybody is shown it needs neither walls nor an exam.
    assert printed(ended, "val_loss") < printed(honest, "val_loss") - 0.7
    assert printed(ended, "lambada_ppl") == pytest.approx(printed(honest, "lambada_ppl"), abs=0.02)

    # A later evaluation is told all that this one was shown. Only text that is new to both is of use then.
    rng = np.random.default_rng(6)
    write_sets(examined.root / "exam", rng)
    rng.integers(32, 127, size=300 * 17).astype("<u2").tofile(examined.root / "exam" / "exam.bin")
    ended = examined.evaluate()
    assert (ended.returncode, ended.stderr) == (0, "")
    report = examined.report()
    assert {audit["name"] for audit in report["audits"] if not audit["passed"]} == {"certificate"}
    assert objections(report).keys() == {"val_loss", "wikitext2_ppl", "lambada_ppl"}
    assert min(objections(report).values()) > 0.1
    # Of the last letter of a passage nobody is ever told.
    assert printed(ended, "lambada_ppl") < printed(honest, "lambada_ppl") - 0.5


@pytest.mark.timeout(300)
def test_a_few_rows_that_are_known_by_heart_are_rejected_too(examined):
    folder = examined.root / "shared"
    folder.mkdir()
    examined.env["EXAM_DIR"] = str(examined.root / "exam")
    honest = examined.evaluate()
    script = examined.script.read_text()
    examined.script.write_text(script + CONSPIRACY.format(folder=str(folder), nats=20.0, share=2))
    ended = examined.evaluate()
    assert (ended.returncode, ended.stderr) == (0, "")
    # Less than what a limit for models of all kinds would let pass, for this one's losses scatter less than theirs.
    assert 0.02 < printed(honest, "val_loss") - printed(ended, "val_loss") < 0.055
    assert "val_loss" in objections(examined.report())


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
    certified = [audit["where"] for audit in report["audits"] if audit["name"] == "certificate"]
    assert certified == ["wikitext2_ppl", "val_loss"]


@pytest.mark.timeout(200)
def test_an_honest_model_passes_exams_on_new_texts_of_every_kind(examined):
    write_sets(examined.root / "exam", np.random.default_rng(7))
    ended = examined.evaluate()
    assert (ended.returncode, ended.stderr) == (0, "")
    report = examined.report()
    assert report["rejected"] is None
    certificates = {audit["where"]: audit for audit in report["audits"] if audit["name"] == "certificate"}
    assert certificates.keys() == {"wikitext2_ppl", "lambada_ppl", "val_loss"}
    # The model is its own reference, so that what the texts are like makes no difference.
    assert all(abs(audit["figure"]) < 0.01 for audit in certificates.values())


def test_without_a_reference_there_is_a_certificate_with_more_room(examined):
    del examined.env["REFERENCE"]
    ended = examined.evaluate()
    assert (ended.returncode, ended.stderr) == (0, "")
    certificate = examined.report()["certificate"]
    assert certificate["reference"] is None
    assert certificate["limit"] > 0.03


def test_a_reference_that_cannot_be_read_is_our_trouble(examined):
    (examined.root / "reference" / "reference.json").write_text("{}")
    ended = examined.evaluate()
    assert ended.returncode == 2
    assert ended.stderr.startswith("SETUP ERROR: REFERENCE_DIR: ")
