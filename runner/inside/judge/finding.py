"""How an audit came out, and what may be told of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from runner.inside.complaints import complaint
from runner.inside.digits import rounded
from runner.inside.judge.certificate import Certificate

PASSED = (0.1, 0.5, 1.0)
"""What a figure that is within its limit is told as, in limits: the least of these that is not below it."""
FAILED = (1.2, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0, 1000.0)
"""What one beyond its limit is told as: the nearest by ratio."""
LIMIT_DIGITS = 2
"""Significant digits of a limit that are told, where it was worked out from what the model answered."""


@dataclass(frozen=True, kw_only=True)
class AuditFinding:
    """One audit and how it came out."""

    name: str
    """One of those in `complaints.SENTENCES`."""
    figure: float
    """The worst that was seen, in `unit`."""
    limit: float
    """The most that an honest model may show, in `unit`."""
    unit: str
    samples: int
    """How many places were looked at."""
    metric: str = ""
    """The metric that it is about; empty where it is about all."""
    place: str = ""
    """Where the figure was seen, for the operator alone: of places in evaluation data the agent hears nothing."""

    @property
    def passed(self) -> bool:
        return self.figure <= self.limit

    @property
    def complaint(self) -> str:
        """Which audit failed, and by how much, in one line; meaningful only where it did fail."""
        return complaint(self.name, figure=self.told, limit=self.told_limit, where=self.metric)

    @property
    def told(self) -> float:
        """The figure as agents may read it: their code may have steered it by the data, so it is one of few."""
        if self.name == "parameters" or not math.isfinite(self.figure):
            return self.figure
        if self.passed:
            return self.told_limit * next((share for share in PASSED if self.figure <= share * self.limit), 1.0)
        share = self.figure / self.limit
        return self.told_limit * min(FAILED, key=lambda one: abs(math.log(one / share)))

    @property
    def told_limit(self) -> float:
        """The limit as agents may read it."""
        limit = rounded(self.limit, LIMIT_DIGITS) if self.name == "certificate" else self.limit
        return math.nan if limit is None else limit


def size_audit(parameters: int, cap: int) -> AuditFinding:
    """Whether a checkpoint holds no more numbers than are allowed."""
    return AuditFinding(name="parameters", figure=parameters, limit=cap, unit="parameters", samples=1)


def certificate_audit(metric: str, certificate: Certificate) -> AuditFinding:
    """Whether a metric's claim is no better than its certificate allows."""
    return AuditFinding(
        name="certificate",
        figure=certificate.advantage,
        limit=certificate.limit,
        unit="nats",
        samples=certificate.tokens,
        metric=metric,
    )
