"""Bodies about how a code does over its seeds, and beside the best baseline. Lower values are better."""

from __future__ import annotations

from pydantic import Field

from ringfence.api.base import Body


class NoiseView(Body):
    """How far the values of one code scatter over seeds, pooled over the baselines of a board that have several."""

    sd: float = Field(description="Standard deviation, in the unit of the column that ranks.")
    df: int = Field(description="Its degrees of freedom.")
    entries: int = Field(description="How many baselines it was measured on.")


class EntryView(Body):
    """All seeds of one code on one board. A seed counts once."""

    name: str = Field(description="Of the baseline that it is; else the agent that ran it first.")
    baseline: bool
    run_key: str = Field(description="Of its first result that is counted.")
    n: int = Field(description="How many seeds are counted.")
    mean: float
    sd: float | None = Field(description="Standard deviation over the seeds; null for a single one.")
    seeds: tuple[int | None, ...]
    chosen_from: int = Field(
        description="From how many tests its agent chose the one value that there is; 1 where nobody chose."
    )
    set_aside: int = Field(
        description="Seeds that are not counted, because their values were chosen and those of others were not."
    )
    failed: int = Field(description="Seeds at which the code came to no value.")


class ComparisonView(Body):
    """A code beside the best baseline of its board, by the column that ranks."""

    headline: str = Field(description="All of it in a sentence, the same everywhere.")
    verdict: str = Field(description="`better`, `worse` or `not told apart`.")
    metric: str
    delta: float = Field(description="The code's mean less the baseline's: negative where the code is better.")
    error: float | None = Field(description="Standard error of `delta`; null where no noise is known.")
    df: float | None = Field(description="Its degrees of freedom.")
    p: float | None = Field(description="Two-sided, made up for what was chosen by luck.")
    baselines: int = Field(description="How many baselines the best is chosen from.")
    entry: EntryView
    baseline: EntryView
