"""How much a test's answer can tell of the held-out text, whatever its model is for: the table in docs/trust.md."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from runner.inside.judge.finding import FAILED, PASSED, AuditFinding
from runner.inside.judge.language import Measurement, word_perplexity
from runner.inside.judge.passages import Passage
from runner.inside.judge.telling import loss_step, to_step, told_metric, worst_told
from runner.inside.judge.tokenizer import ByteTokenizer

PAGE = Path(__file__).parents[2] / "docs" / "trust.md"


@dataclass(frozen=True, kw_only=True)
class Told:
    """A metric of a fixed text, as docs/trust.md describes the data sets."""

    metric: str
    tokens: int
    texts: int
    words: int
    """Of which a perplexity is one; 0 for a loss."""

    @property
    def measured(self) -> Measurement:
        each = self.tokens // self.texts
        passages = [Passage(np.zeros(each + 1, np.int32), each, number) for number in range(self.texts)]
        if not self.words:
            return Measurement(self.metric, passages, lambda loss: loss)
        return Measurement(self.metric, passages, lambda loss: math.exp(loss * self.tokens / self.words))


@dataclass(frozen=True, kw_only=True)
class Scale:
    """What a test of this scale measures."""

    name: str
    tokenizer: str
    vocab_size: int
    losses: tuple[Told, ...]
    items: tuple[int, ...]
    """Of each task whose accuracy is told."""
    audits: int
    """Whose figure the code under test may steer."""


SMOKE = Scale(
    name="smoke",
    tokenizer="bytes",
    vocab_size=256,
    losses=(
        Told(metric="val_loss", tokens=65_536, texts=1024, words=0),
        Told(metric="wikitext2_ppl", tokens=4_060, texts=12, words=783),
        Told(metric="lambada_ppl", tokens=500, texts=100, words=100),
    ),
    items=(100, 100, 100, 100),
    audits=12 + 13,
)
LARGE = Scale(
    name="gpt-345m",
    tokenizer="gpt2",
    vocab_size=50_304,
    losses=(
        Told(metric="val_loss", tokens=10_485_760, texts=10_240, words=0),
        Told(metric="wikitext2_ppl", tokens=287_644, texts=62, words=241_859),
        Told(metric="lambada_ppl", tokens=6_700, texts=5_153, words=5_153),
    ),
    items=(2_376, 10_042, 1_838, 1_267),
    audits=11 + 13,
)
every_scale = pytest.mark.parametrize("scale", [SMOKE, LARGE], ids=lambda one: one.name)


def values_told(told: Told, scale: Scale) -> int:
    """How many different values there are, from certainty to the worst that is told."""
    measured = told.measured
    step = loss_step(measured, scale.tokenizer)
    losses = np.arange(0, worst_told(scale.vocab_size) + 5, step / 5)
    return len({told_metric(measured, float(loss), step, scale.vocab_size) for loss in losses})


def row(scale: Scale) -> str:
    """The row of the table."""
    metrics = [math.log2(values_told(told, scale)) for told in scale.losses]
    accuracies = sum(math.log2(items + 1) for items in scale.items)
    audits = scale.audits * math.log2(len(PASSED))
    nats = (sum(metrics) + accuracies + audits) * math.log(2)
    each = " | ".join(f"{nats / told.tokens:.2g}" for told in scale.losses)
    bits = " | ".join(f"{one:.0f}" for one in (*metrics, accuracies, audits))
    return f"| `{scale.name}` | {bits} | {each} |"


def bound_of_points(items: int, tests: int) -> float:
    """By how many points on average an accuracy can exceed what its method deserves, when the accuracies of so many
    earlier tests are all that is known of the labels.

    They have at most I = tests * ln(items + 1) nats of information about labels that are independent of each other, so
    that the bias of a mean of as many numbers between 0 and 1 is at most sqrt(I / 2 items) (Xu and Raginsky 2017).
    """
    return 100 * math.sqrt(tests * math.log(items + 1) / (2 * items))


def row_of_accuracies(scale: Scale) -> str:
    """The row of what earlier accuracies are worth, after one test and after ten."""
    names = ("arc_easy", "hellaswag", "piqa", "winogrande")
    figures = [
        f"{name} {bound_of_points(items, 1):.2g} / {bound_of_points(items, 10):.2g}"
        for name, items in zip(names, scale.items, strict=True)
    ]
    return f"`{scale.name}`: {', '.join(figures)}"


def test_the_figures_of_the_page_are_what_is_told():
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    wanted = [tell(scale) for scale in (SMOKE, LARGE) for tell in (row, row_of_accuracies)]
    missing = [one for one in wanted if one not in page]
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize("tests", [1, 3, 10])
def test_guesses_that_learn_from_earlier_accuracies_gain_less_than_the_bound(tests):
    rng, items = np.random.default_rng(5), 100
    gains = []
    for _ in range(400):
        labels = rng.integers(2, size=items)
        guesses = rng.integers(2, size=(tests, items))
        accuracies = (guesses == labels).mean(axis=1)
        # Each earlier guess votes as strongly as it was right.
        votes = ((2 * guesses - 1) * (accuracies - 0.5)[:, None]).sum(axis=0)
        gains.append(((votes > 0) == labels).mean() - 0.5)
    assert 0.02 < np.mean(gains) < bound_of_points(items, tests) / 100


@every_scale
def test_a_metric_is_told_apart_from_others_by_less_than_another_training_would_change(scale):
    for told in scale.losses:
        measured = told.measured
        step = loss_step(measured, scale.tokenizer)
        for loss in np.random.default_rng(0).uniform(0.5, 6.5, size=200):
            exact, value = (
                measured.value(loss),
                told_metric(measured, float(loss), step, scale.vocab_size),
            )
            slope = exact * told.tokens / told.words if told.words else 1.0
            assert abs(value - exact) <= 0.51 * step * slope


@every_scale
def test_a_loss_beyond_guessing_is_told_as_one(scale):
    worst = worst_told(scale.vocab_size)
    for told in scale.losses:
        measured = told.measured
        step = loss_step(measured, scale.tokenizer)
        values = {
            told_metric(measured, loss, step, scale.vocab_size)
            for loss in (worst, worst + 1e-6, worst + 1.2345, 1000.0, 1e30)
        }
        assert len(values) == 1
        # A forged one below certainty is rejected elsewhere, and no trouble here.
        assert told_metric(measured, -1e300, step, scale.vocab_size) == (1 if told.words else 0)
        assert told_metric(measured, math.inf, step, scale.vocab_size) == math.inf


@pytest.mark.parametrize(
    ("value", "step", "told"),
    [
        (1.89553, 0.0006, 1.8955),
        (24817.3, 355, 24800),
        (289844, 9853, 290000),
        (0.3, 1.0, 0),
        (7.6, 0.2, 7.6),
        (3, 7, 5),
    ],
)
def test_steps_are_one_two_or_five_of_a_decimal_place(value, step, told):
    assert to_step(value, step) == told


def test_a_perplexity_beyond_the_largest_float_is_told_as_that():
    measured = word_perplexity(ByteTokenizer(), ["x" * 500], 16)
    assert told_metric(measured, 6.0, 0.01, 256) == pytest.approx(sys.float_info.max)


def test_an_audits_figure_is_one_of_few():
    def figure(share: float) -> float:
        found = AuditFinding(name="spread", figure=share * 1e-4, limit=1e-4, unit="nats", samples=9)
        assert found.passed == (found.told <= found.limit)
        return found.told

    shares = np.concatenate([-np.geomspace(1e-3, 1e6, 50), np.geomspace(1e-6, 1e6, 5000)])
    assert len({figure(float(share)) for share in shares}) == len(PASSED) + len(FAILED)
