"""Boards, their rows, and what stands beside them, as the API answers."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from ringfence.api.base import Body, ClassOfRunner, DeltaNoise, Score
from ringfence.api.comparisons import ComparisonView, NoiseView


class BoardFacts(Body):
    """What the rows of one board have in common. Numbers of different boards are not to be compared."""

    id: str = Field(description="For `?board=` in the addresses of leaderboards; it follows from all the rest.")
    task_version: str
    scale: str
    data: str | None = Field(
        description="One SHA-256 for what its results were trained and measured on; null where that was not recorded, "
        "and of invented results."
    )
    runner_class: ClassOfRunner
    mark: str = Field(description="What has to be said beside its numbers; empty for those from sandboxes.")
    here: bool = Field(description="Whether new results of this service stand on it.")


class CountedBoard(BoardFacts):
    """A board with how much is on it."""

    rows: int
    sessions: int
    submissions: int
    last: str


class Board(Body):
    """A task that has results: counts over all its boards, and each of them."""

    task_id: str
    rows: int
    sessions: int
    submissions: int
    last: str
    boards: tuple[CountedBoard, ...] = Field((), description="By scale, the latest first.")


class Boards(Body):
    leaderboards: tuple[Board, ...]


class PublishedRow(Body):
    """A result that others have published for a task of the same name: never ranked with results of this service."""

    task_id: str
    kind: Literal["baseline", "agent"]
    name: str
    val_loss: float = Field(description="Nats per token, as the training process reported it.")
    mark: str = Field(description="What it is and what not: always `published, other data, self-reported`.")


class Publication(Body):
    """Who published them, and how they came about."""

    title: str
    reference: str
    date: str
    data: str
    hardware: str
    scale: str
    seed: int


class PublishedFigures(Body):
    source: Publication
    figures: tuple[PublishedRow, ...]


class Row(Body):
    """Also a number or null for each metric, `<metric>_<label>`, and time in seconds, `elapsed_<label>`."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float | None]

    timestamp: str
    agent: str
    session_id: str
    test: int
    is_final: bool
    status: str
    scale: str
    seed: int | None
    score: Score
    delta_noise: DeltaNoise
    run_key: str
    parameters: int | None
    template_unmodified: bool
    duplicate_of: str | None
    auto_submitted: bool
    compute: float | None
    certified: float | None
    certified_error: float | None
    unmet: str | None = None
    board: str
    task_version: str
    runner_class: ClassOfRunner
    runner: str | None
    image: str | None
    training_data: str | None
    heldout_data: str | None
    reserve_data: str | None
    confirms: str | None = Field(None, description="Run key of the result whose code it ran again at another seed.")
    entry_n: int | None = Field(None, description="How many seeds of its code are counted.")
    entry_mean: float | None = Field(None, description="Their mean in the column that ranks.")
    entry_sd: float | None = Field(None, description="Their standard deviation; null for a single seed.")
    delta: float | None = Field(None, description="That mean less the best baseline's: negative where it is better.")
    delta_error: float | None = Field(None, description="Standard error of `delta`.")
    delta_p: float | None = Field(None, description="Its two-sided p.")
    verdict: str | None = Field(None, description="`better`, `worse` or `not told apart`.")


class Leaderboard(Body):
    """A page of one board's rows."""

    task_id: str
    board: BoardFacts | None = Field(None, description="Null for a task that has no scales and no results.")
    columns: tuple[str, ...]
    metric_columns: tuple[str, ...]
    rows: tuple[Row, ...]
    total: int
    limit: int | None
    offset: int
    noise: NoiseView | None = Field(
        None, description="Over seeds, at the scale that the query names; null where no baseline has several."
    )
    comparison: ComparisonView | None = Field(
        None, description="The best submission at the scale that the query names, beside the best baseline there."
    )
    published: tuple[PublishedRow, ...] = Field(
        (), description="Figures of others for this task at this scale. They are no rows; see GET /v1/published."
    )


class ProbePrediction(Body):
    """Over all pairs of codes that the same session both probed and tested, successfully."""

    scale: str
    proxy: str = Field(description="The scale of the probes.")
    runner: str = Field(description="What ran both: `docker`, `local` (no sandbox), `fake` (invented results).")
    sessions: int = Field(description="Those with at least one pair.")
    pairs: int
    kept: int = Field(description="The pairs of which the same code had the lower loss in the probes and in the tests.")
    share: float = Field(description="`kept` over `pairs`.")


class ProbePredictions(Body):
    """How well probes of a task predicted its tests."""

    task_id: str
    predictions: tuple[ProbePrediction, ...] = Field(description="Empty while nothing is known of it.")
