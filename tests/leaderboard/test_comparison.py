"""What is said of an entry beside the best baseline: the right word, and no luck taken for an improvement."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from leaderboard.comparison import Comparison, compare, headline
from leaderboard.entries import Entry, EntryRow, entries, noise_of_baselines
from leaderboard.student import two_sided_p

SIGMA = 0.02
START = datetime(2026, 11, 3, 12, 0, 0, tzinfo=UTC)


def row(
    agent: str, value: float | None, seed: int | None = 42, *, code: str = "", at: int = 0, **more: object
) -> EntryRow:
    """A row of `agent`, of a code of its own unless one is named, finished `at` seconds after the start."""
    fields: dict[str, object] = {"status": "succeeded", "unedited": False, "chosen_from": 1} | more
    return EntryRow(
        run_key=f"{agent}-{seed}-{at}",
        session_id=agent,
        test=1,
        agent=agent,
        code_sha256=code or agent,
        seed=seed,
        finished_at=START + timedelta(seconds=at),
        value=value,
        **fields,  # type: ignore[arg-type]
    )


def seeds(agent: str, values: Sequence[float], first: int = 42, **more: object) -> list[EntryRow]:
    return [row(agent, value, first + place, at=place, **more) for place, value in enumerate(values)]  # type: ignore[arg-type]


def compared(rows: Sequence[EntryRow], code: str = "agent") -> Comparison:
    found = entries(rows)
    entry = next(one for one in found if one.code_sha256 == code)
    comparison = compare(entry, [one for one in found if one.baseline], noise_of_baselines(found), "val_loss_gpt-345m")
    assert comparison is not None
    return comparison


@pytest.mark.parametrize(
    ("t", "df", "p"),
    [
        *((12.7062, 1, 0.05), (4.30265, 2, 0.05), (2.77645, 4, 0.05), (2.22814, 10, 0.05), (1.95996, 1e7, 0.05)),
        *((636.619, 1, 0.001), (8.6103, 4, 0.001), (0, 3, 1), (0.6745, 1e7, 0.5), (1, 1, 0.5), (0.81650, 2, 0.5)),
    ],
)
def test_the_tail_of_students_t_is_that_of_printed_tables(t: float, df: float, p: float) -> None:
    assert two_sided_p(t, df) == pytest.approx(p, rel=1e-4)
    assert two_sided_p(-t, df) == two_sided_p(t, df)


def test_rows_of_one_code_are_one_entry(subtests: pytest.Subtests) -> None:
    (one,) = entries(seeds("agent", [2.0, 2.2, 2.1]))
    assert (one.n, one.mean, one.sd, one.seeds) == (3, pytest.approx(2.1), pytest.approx(0.1), (42, 43, 44))
    with subtests.test("a seed counts once, by its first row, be it the worst"):
        (one,) = entries([row("agent", 2.5, at=1), row("agent", 1.0, at=2), row("agent", 2.1, seed=43, at=3)])
        assert one.values == (2.5, 2.1)
    with subtests.test("rows that name no seed count as one"):
        (one,) = entries([row("agent", 2.5, None, at=1), row("agent", 1.0, None, at=2)])
        assert one.values == (2.5,)
    with subtests.test("only what succeeded has a value; what was stopped says nothing; the rest is counted"):
        rows = [row("agent", 2.0), *(row("agent", 0.1, seed, status=status) for seed, status in STATUSES)]
        (one,) = entries(rows)
        assert (one.values, one.failed) == ((2.0,), 3)
        assert entries([row("agent", None), row("agent", float("nan"), seed=43)]) == []


STATUSES = [(43, "failed"), (44, "diverged"), (45, "rejected"), (46, "cancelled")]


def test_a_value_that_was_chosen_does_not_count_beside_those_that_were_not() -> None:
    chosen = row("agent", 1.9, chosen_from=3)
    (one,) = entries([chosen])
    assert (one.values, one.chosen_from, one.set_aside) == ((1.9,), 3, 0)
    (one,) = entries([chosen, *seeds("agent", [2.0, 2.1], first=43, confirming=True)])
    assert (one.values, one.chosen_from, one.set_aside) == ((2.0, 2.1), 1, 1)
    (one,) = entries([chosen, row("agent", 2.3, at=9, confirming=True)])
    assert one.values == (2.3,), "of one seed, the operator's row counts, however late it came"


def test_the_unedited_file_is_a_baseline_whoever_ran_it() -> None:
    (one,) = entries(seeds("somebody", [2.0, 2.1], unedited=True))
    assert (one.baseline, one.name) == (True, "template")
    (one,) = entries([row("somebody", 2.0, code="c"), row("baseline:rope", 2.1, seed=43, code="c")])
    assert (one.baseline, one.name) == (True, "rope")


def test_the_best_baseline_is_the_one_with_the_lowest_mean_not_the_luckiest_seed() -> None:
    rows = [*seeds("baseline:lucky", [1.9, 2.3]), *seeds("baseline:good", [2.0, 2.02]), row("agent", 2.0)]
    assert compared(rows).baseline.name == "good"


def test_a_true_improvement_is_better_and_its_opposite_worse() -> None:
    base = seeds("baseline:b", [2.00, 2.02, 1.99, 2.01, 1.98])
    found = compared([*base, *seeds("agent", [1.93, 1.95, 1.94, 1.92, 1.96])])
    assert (found.verdict, found.entry.n, found.baseline.n) == ("better", 5, 5)
    assert (found.delta, found.error, found.df) == (pytest.approx(-0.06), pytest.approx(0.01), pytest.approx(8))
    assert found.p == pytest.approx(two_sided_p(6, 8))
    assert headline(found) == "Δ −0.0600 ± 0.0100 to the best baseline (b): better (p < 0.001, n 5 and 5)."
    assert compared([*base, *seeds("agent", [2.06, 2.08, 2.05, 2.07, 2.09])]).verdict == "worse"
    assert compared([*base, *seeds("agent", [2.0, 2.03, 1.99, 1.98, 2.02])]).verdict == "not told apart"


def test_one_seed_is_compared_by_the_noise_of_the_board() -> None:
    base = [*seeds("baseline:b", [2.00, 2.02, 1.98]), *seeds("baseline:c", [2.50, 2.52, 2.48])]
    found = compared([*base, row("agent", 1.9)])
    assert (found.error, found.df) == (pytest.approx(0.02 * (1 + 1 / 3) ** 0.5), 4)
    assert (found.verdict, found.entry.n) == ("better", 1)
    found = compared([*base, row("agent", 1.93)])
    assert found.verdict == "better"
    assert (chosen := compared([*base, row("agent", 1.93, chosen_from=3)])).verdict == "not told apart"
    assert chosen.p is not None
    assert found.p is not None
    assert chosen.p == pytest.approx(3 * found.p)
    assert "chosen from 3 tests" in headline(chosen)


def test_without_any_noise_nothing_is_told_apart() -> None:
    for base, error, said in (
        ([row("baseline:b", 2.0)], None, "the noise is not known"),
        (seeds("baseline:b", [2.0, 2.0]), 0.0, "no noise was seen"),
    ):
        found = compared([*base, *seeds("agent", [1.0, 1.0])])
        assert (found.verdict, found.p, found.error) == ("not told apart", None, error)
        assert f"({said}, n 2 and" in headline(found)


def test_the_noise_of_the_board_is_that_of_its_baselines() -> None:
    quiet = seeds("agent", [2.0, 2.0, 2.0])  # a code that fixes its own seed
    noise = noise_of_baselines(entries([*quiet, *seeds("baseline:b", [2.0, 2.1]), *seeds("baseline:c", [3.0, 3.3])]))
    assert noise is not None
    assert (noise.sd, noise.df, noise.entries) == (pytest.approx((0.05 / 2) ** 0.5), 2, 2)
    assert noise_of_baselines(entries(quiet)) is None


def test_the_best_baseline_is_not_compared_with_itself() -> None:
    rows = [*seeds("baseline:b", [2.0, 2.1]), row("somebody", 1.9, seed=50, code="baseline:b")]
    found = compared(rows, "baseline:b")
    assert (found.itself, found.delta, found.p, found.verdict) == (True, 0.0, None, "not told apart")
    assert headline(found).startswith("The best baseline itself (b): 2.0000 ± 0.1000, n 3")


def test_a_code_that_fails_at_a_seed_is_not_called_better() -> None:
    rows = [*seeds("baseline:b", [2.0, 2.01, 1.99]), *seeds("agent", [1.5, 1.51, 1.49])]
    assert compared(rows).verdict == "better"
    found = compared([*rows, row("agent", None, seed=50, status="diverged")])
    assert found.verdict == "not told apart"
    assert "It came to no value at 1 further seed." in headline(found)


@pytest.mark.parametrize("tests", [1, 3])
@pytest.mark.parametrize("further", [0, 1, 4])
@pytest.mark.parametrize("baselines", [(5,), (3, 3, 3), (2, 5), (1, 4, 2)])
def test_edits_that_do_nothing_are_rarely_called_better(baselines: tuple[int, ...], further: int, tests: int) -> None:
    """A thousand submissions that are the baselines over again, each the best of `tests` and run again at `further`
    seeds; on each board the baselines are drawn anew, and the best of them is the one that was lucky.
    """
    chance = random.Random(20261103)
    words: Counter[str] = Counter()
    for _ in range(1000):
        rows = [
            one
            for number, n in enumerate(baselines)
            for one in seeds(f"baseline:{number}", [chance.gauss(2.0, SIGMA) for _ in range(n)])
        ]
        best = min(chance.gauss(2.0, SIGMA) for _ in range(tests))
        rows.append(row("agent", best, chosen_from=tests))
        rows += seeds("agent", [chance.gauss(2.0, SIGMA) for _ in range(further)], first=43)
        words[compared(rows).verdict] += 1
    assert words["better"] <= 50
    assert words["worse"] <= 60
    assert words["not told apart"] >= 900


@pytest.mark.parametrize("gain", [2, 4])
def test_improvements_are_found_the_more_surely_the_larger_they_are(gain: int) -> None:
    """With five seeds each, an improvement by 2 or 4 standard deviations of the noise."""
    chance = random.Random(20261103)
    found: list[Entry] = []
    for _ in range(200):
        rows = seeds("baseline:b", [chance.gauss(2.0, SIGMA) for _ in range(5)])
        rows += seeds("agent", [chance.gauss(2.0 - gain * SIGMA, SIGMA) for _ in range(5)])
        found += [compared(rows).entry] if compared(rows).verdict == "better" else []
    assert len(found) >= (140 if gain == 2 else 198)


def test_the_same_code_in_another_session_is_no_confirmation() -> None:
    base = seeds("baseline:b", [2.0, 2.01, 1.99])
    chosen = row("agent", 1.95, chosen_from=3)
    again = row("other", 1.95, code="agent", at=9)
    alone, repeated = compared([*base, chosen]), compared([*base, chosen, again])
    assert alone.p == repeated.p
    assert repeated.entry.chosen_from == 3


def test_a_code_with_a_seed_of_its_own_does_not_confirm_itself() -> None:
    base = seeds("baseline:b", [2.0, 2.01, 1.99, 2.02, 1.98])
    chosen = row("agent", 1.97, chosen_from=3)
    confirmed = seeds("agent", [1.97, 1.97001], first=43, confirming=True)
    found, alone = compared([*base, chosen, *confirmed]), compared([*base, chosen])
    assert found.steady
    assert found.p == pytest.approx(alone.p, rel=0.01)
    assert found.verdict == "not told apart"
    assert headline(found).endswith("Its values lie closer together than seeds do, and count as one.")
    honest = compared([*base, chosen, *seeds("agent", [1.93, 1.95], first=43, confirming=True)])
    assert not honest.steady


@pytest.mark.parametrize(("baselines", "further"), [(1, 2), (1, 5), (3, 3), (4, 5)])
def test_luck_that_is_kept_or_run_again_is_rarely_called_better(baselines: int, further: int) -> None:
    """Of 1,000 codes that change nothing, with a seed of their own or run once more in another session."""
    rng = random.Random(baselines * 10 + further)
    better = Counter[str]()
    for _ in range(1000):
        base = [
            one
            for each in range(baselines)
            for one in seeds(f"baseline:{each}", [rng.gauss(2, 0.02) for _ in range(further)])
        ]
        lucky = min(rng.gauss(2, 0.02) for _ in range(3))
        chosen = row("agent", lucky, chosen_from=3)
        kept = [chosen, *seeds("agent", [lucky, lucky], first=43, confirming=True)]
        for name, rows in (("kept", kept), ("again", [chosen, row("other", lucky, code="agent", at=9)])):
            better[name] += compared([*base, *rows]).verdict == "better"
    assert all(count <= 50 for count in better.values()), better
