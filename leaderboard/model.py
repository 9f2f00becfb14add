"""A result as plain values: what one finished test says, and where it came from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from leaderboard.board import BoardKey, Origin
from leaderboard.comparison import Comparison

RESULT_STATUSES = ("succeeded", "failed", "diverged", "rejected", "timed_out", "cancelled")
"""How a test that has a result may have ended."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """One finished test. Append-only, keyed by its run."""

    run_key: str
    """Unique; recording the same key again changes nothing."""
    task_id: str
    task_version: str
    agent: str
    session_id: str
    test: int
    """1-based number of the test in its session."""
    status: str
    """One of RESULT_STATUSES."""
    scale: str
    seed: int | None
    finished_at: datetime
    """Timezone-aware, UTC."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """`<metric>_<label>` to value; non-finite values are stored as null."""
    elapsed: Mapping[str, float] = field(default_factory=dict)
    """`elapsed_<label>` to host-measured wall-clock seconds."""
    record: Mapping[str, Any] = field(default_factory=dict)
    """How the result came about and what was audited: hashes, versions, hardware, audits, runs. JSON values."""
    code: Mapping[str, str] = field(default_factory=dict)
    """The tested files, path to text."""
    parameters: int | None = None
    """Numbers in the checkpoint, counted by the evaluator; None if it did not come to that."""
    template_unmodified: bool = False
    """Whether the files are those that the task gives."""
    compute: float | None = None
    """How many times the compute of the unedited script its training took; None where nobody knows."""
    certified: float | None = None
    """The `val_loss` that an exam on unseen text gives, in nats per token; None where there was none."""
    certified_error: float | None = None
    """Its standard error, in nats per token."""
    confirms: str | None = None
    """Run key of the result whose code it ran again at another seed, by an operator's wish; None for a test."""
    unmet: str | None = None
    """What it does not show though its task asks for it, as a label (see `naming`); None where nothing is missing."""

    @property
    def code_sha256(self) -> str:
        """The SHA-256 over the names and texts of the tested files: results with one hash are of the same code."""
        # As it is in the database, where the migration that introduced it computed it as well.
        files = json.dumps(sorted(self.code.items()), ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(files.encode()).hexdigest()

    @property
    def origin(self) -> Origin:
        """Where its numbers come from, by its record."""
        return Origin.of(self.record)

    @property
    def board(self) -> BoardKey:
        """The board it stands on: what it may be compared with."""
        return BoardKey(
            task_id=self.task_id,
            task_version=self.task_version,
            scale=self.scale,
            data=self.origin.data,
            runner_class=self.origin.runner_class,
        )


@dataclass(frozen=True, kw_only=True)
class RecordedResult:
    """A result with what is known of it beside the test itself."""

    result: Result
    duplicate_of: str | None
    """Run key of the first result recorded before it of the same code on the same board, whoever's it is."""
    is_final: bool
    """Whether its session submitted it."""
    auto_submitted: bool
    """Whether it was submitted for the session, not by it."""
    session_over: bool
    """Whether its session submitted this result or another."""
    score: float | None = None
    """The score against its task's anchors, 0 to 1; None where there are none, or a metric is missing."""
    delta_noise: float | None = None
    """How much better than the best baseline, in standard deviations over seeds; negative when worse."""
    comparison: Comparison | None = None
    """Its code's entry beside the best baseline of its board; None where there is nothing to compare."""
