"""Entries and comparisons as the API's answers."""

from __future__ import annotations

from leaderboard.comparison import Comparison, headline
from leaderboard.entries import Entry, Noise
from ringfence.api.comparisons import ComparisonView, EntryView, NoiseView


def comparison_view(found: Comparison | None) -> ComparisonView | None:
    """None where there is nothing to compare."""
    if found is None:
        return None
    return ComparisonView(
        headline=headline(found),
        verdict=found.verdict,
        metric=found.metric,
        delta=found.delta,
        error=found.error,
        df=found.df,
        p=found.p,
        baselines=found.baselines,
        entry=_entry_view(found.entry),
        baseline=_entry_view(found.baseline),
    )


def noise_view(noise: Noise | None) -> NoiseView | None:
    """None where no noise is known."""
    return None if noise is None else NoiseView(sd=noise.sd, df=noise.df, entries=noise.entries)


def _entry_view(entry: Entry) -> EntryView:
    return EntryView(
        name=entry.name,
        baseline=entry.baseline,
        run_key=entry.first.run_key,
        n=entry.n,
        mean=entry.mean,
        sd=entry.sd,
        seeds=entry.seeds,
        chosen_from=entry.chosen_from,
        set_aside=entry.set_aside,
        failed=entry.failed,
    )
