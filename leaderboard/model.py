"""A result as plain values: what one finished test says, and where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
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
    """succeeded, failed, diverged, rejected, timed_out or cancelled."""
    scale: str
    seed: int | None
    finished_at: datetime
    """Timezone-aware, UTC."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """`<metric>_<label>` to value; non-finite values are stored as null."""
    elapsed: Mapping[str, float] = field(default_factory=dict)
    """`elapsed_<label>` to host-measured wall-clock seconds."""
    record: Mapping[str, Any] = field(default_factory=dict)
    """How to reproduce it: code and template hash, versions, hardware, stages. JSON values."""
    code: Mapping[str, str] = field(default_factory=dict)
    """The tested files, path to text."""
