"""How an audit came out, and what may be told of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from runner.inside.complaints import complaint
from runner.inside.digits import rounded
from runner.inside.judge.certificate import Certificate

FIGURE_DIGITS = 2
"""Significant digits of an audit's figure that are told."""


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
        return complaint(self.name, figure=self.told, limit=self.limit, where=self.metric)

    @property
    def told(self) -> float:
        """The figure as agents may read it: of what their code may have steered by the data, few digits."""
        figure = self.figure if self.name == "parameters" else rounded(self.figure, FIGURE_DIGITS)
        return math.nan if figure is None else figure


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
