"""What the evaluator and those who start it both have to call by the same name. Imports nothing: both can have it."""

from __future__ import annotations

AUDITOR = "audit"
"""The worker that sees samples only."""
DISMISSED, GONE = "dismissed", "gone"
"""Files in a worker's meeting folder. A run that needs a worker no more makes the first, and finds the second when no
process of the worker is left."""


def worker_names(scorers: int) -> list[str]:
    """Of an evaluation with so many scorers: the auditor first."""
    return [AUDITOR, *(f"score-{number}" for number in range(1, scorers + 1))]
