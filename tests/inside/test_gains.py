"""By how much a number can be better than it deserves, and how probably that passes: the tables of docs/trust.md.

The forger is as strong as can be: every scorer knows each token before it is asked, and lies in the way that gains
most. Either about few tokens, each made as likely as can be, in the hope that none of them is audited; or about all,
each a little. With walls down its auditor knows all that the scorers knew, and only exams are left.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from runner.inside.judge.audits import TOLERANCES, _Examined
from runner.inside.judge.passage_scorer import Sample
from runner.inside.judge.passages import Passage
from runner.inside.judge.places import sampled_places
from tests.inside.simulated_certificates import EXAMS, simulated

ODDS = (1 / 2, 1 / 10, 1 / 100)
PAGE = Path(__file__).parents[2] / "docs" / "trust.md"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One metric at one scale."""

    scale: str
    metric: str
    dtype: str
    tokenizer: str
    scored: int
    """Tokens that count."""
    audited: int
    """Of those."""
    nats: float
    """What a lie about one token gains: the most costly ones cost about that."""


def settings() -> list[Setting]:
    smoke = {"scale": "smoke", "dtype": "float32", "tokenizer": "bytes", "nats": 5.0}
    large = {"scale": "gpt-345m", "dtype": "bfloat16", "tokenizer": "gpt2", "nats": 10.0}
    return [
        Setting(metric="val_loss", scored=65_536, audited=1024, **smoke),
        Setting(metric="val_loss", scored=10_485_760, audited=2048, **large),
        Setting(metric="wikitext2_ppl", scored=4_060, audited=1024, **smoke),
        Setting(metric="wikitext2_ppl", scored=287_644, audited=2048, **large),
        Setting(metric="each accuracy", scored=20_000, audited=1024, **smoke),
        Setting(metric="each accuracy", scored=100_000, audited=2048, **large),
    ]


def examined(favour: np.ndarray, metric: str) -> _Examined:
    """Claims that are better by `favour` nats than what the auditor commits to."""
    samples = [
        Sample(metric=metric, passage=0, prefix=np.zeros(3, np.int32), target=1, logprob=-2.0 + lie, greedy=1)
        for lie in favour
    ]
    zero = np.zeros(len(favour))
    return _Examined(samples=samples, logprob=zero - 2.0, shortfall=zero, excess=zero, moved=zero)


def passes(favour: np.ndarray, setting: Setting) -> bool:
    """Whether no audit of claims objects."""
    found, tolerance = examined(favour, setting.metric), TOLERANCES[setting.dtype]
    audits = [found.commitment(tolerance), *found.spread(tolerance), *found.bias(tolerance)]
    return all(audit.passed for audit in audits)


def least_failing(fails: Callable[[float], bool], highest: float) -> float:
    """Bisection between what does not fail, zero, and what does."""
    low, high = 0.0, highest
    assert fails(high)
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if fails(middle) else (middle, high)
    return low


def by_a_little(setting: Setting) -> float:
    """Nats by which all claims may be better."""
    count = min(setting.audited, setting.scored)
    return least_failing(lambda lie: not passes(np.full(count, lie), setting), 1.0)


def unseen(lies: int, setting: Setting) -> float:
    """The probability that none of so many tokens is audited."""
    left, drawn = setting.scored - lies, min(setting.audited, setting.scored)
    if left < drawn:
        return 0.0
    parts = ((left, 1), (setting.scored - drawn, 1), (left - drawn, -1), (setting.scored, -1))
    return math.exp(sum(sign * math.lgamma(count + 1) for count, sign in parts))


def lies_that_pass(setting: Setting, odds: float) -> int:
    """About how many tokens a forger can lie and pass with at least this probability."""
    return int(least_failing(lambda lies: unseen(int(lies), setting) < odds, setting.scored))


def gain(setting: Setting, odds: float) -> float:
    """Nats per scored token that pass with at least this probability."""
    return max(lies_that_pass(setting, odds) * setting.nats / setting.scored, by_a_little(setting))


def rows() -> list[str]:
    """The rows of the table of what passes the audits."""
    told = []
    for one in settings():
        figures = [_figure(one, odds) for odds in ODDS]
        told.append(
            f"| `{one.metric}` | `{one.scale}` | {min(one.audited, one.scored):,} | " + " | ".join(figures) + " |"
        )
    return [row.replace("`each accuracy`", "each accuracy") for row in told]


def rows_with_walls_down() -> list[str]:
    """The rows of the table of what passes the exams, whatever the auditor was told."""
    told = []
    for (tokenizer, metric), about in EXAMS.items():
        rng = np.random.default_rng(7)
        of_models = [[simulated(tokenizer, metric, rng, model=model) for _ in range(400)] for model in about.models]
        errors, limits = (
            [float(np.mean([getattr(one, name) for one in of_model])) for of_model in of_models]
            for name in ("error", "limit")
        )
        room = [one.limit - one.advantage for of_model in of_models for one in of_model]
        gains = [float(np.quantile(room, 1 - odds)) for odds in (ODDS[0], ODDS[2])]
        told.append(
            f"| `{metric}` | `{'smoke' if tokenizer == 'bytes' else 'gpt-345m'}` | {about.exam.tokens:,} | "
            + " | ".join(f"{min(pair):.2g} to {max(pair):.2g}" for pair in (errors, limits, gains))
            + " |"
        )
    return told


def _figure(setting: Setting, odds: float) -> str:
    if setting.metric == "each accuracy":
        return f"{100 * lies_that_pass(setting, odds) / setting.scored:.2g} % of tokens"
    return f"{gain(setting, odds):.2g}"


def test_the_tables_of_gains_are_what_audits_and_exams_allow():
    page = PAGE.read_text(encoding="utf-8")
    missing = [row for row in (*rows(), *rows_with_walls_down()) if row not in page]
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize("setting", settings(), ids=lambda one: f"{one.scale}-{one.metric}")
def test_lies_about_few_tokens_are_seen_as_often_as_the_table_says(setting):
    rng = np.random.default_rng(3)
    length = 100
    passages = [Passage(np.zeros(length + 1, np.int32), length) for _ in range(setting.scored // length)]
    lied = lies_that_pass(setting, ODDS[0])
    # All in the first passages: where they are makes no difference to a draw from all tokens.
    draws = 400
    seen = 0
    for _ in range(draws):
        places = sampled_places(passages, setting.audited, rng)
        seen += any(i * length + place < lied for i, place in places.chosen)
    expected = 1 - unseen(lied, setting)
    assert abs(seen / draws - expected) <= 4 * math.sqrt(expected * (1 - expected) / draws) + 1e-9


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_one_lie_that_is_audited_is_enough(dtype):
    (setting, *_) = (one for one in settings() if one.dtype == dtype)
    favour = np.zeros(setting.audited)
    assert passes(favour, setting)
    favour[5] = setting.nats
    assert not passes(favour, setting)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_honest_rounding_passes_and_noise_in_ones_favour_does_not_widen_its_own_limit(dtype):
    (setting, *_) = (one for one in settings() if one.dtype == dtype)
    rng = np.random.default_rng(4)
    rounding = TOLERANCES[dtype].rounding
    honest = [passes(rounding * rng.standard_normal(setting.audited), setting) for _ in range(1000)]
    assert all(honest)
    # Coin flips, a little more often up: what they gain on average decides, however widely they scatter.
    coins = 20 * rounding * np.where(rng.random(setting.audited) < 0.6, 1, -1)
    assert not passes(coins, setting)
