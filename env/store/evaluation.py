"""What an evaluation found beside its metrics: what it counted and what it audited."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Audit:
    """One check of the model's answers, made without running its code in the process that judges."""

    name: str
    """`parameters`, `normalisation`, `causality`, `commitment`, `bias`, `drift`, `canary`."""
    passed: bool
    figure: float | None
    """The worst that was seen, in `unit`; None when it was not finite."""
    limit: float | None
    """Beyond this it fails."""
    unit: str
    samples: int
    """How many places were looked at."""
    where: str = ""
    """The place of the figure, in words."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What an evaluator reports beside metrics. All of it is optional: an operator's own may know metrics only."""

    parameters: int | None = None
    """Numbers in the checkpoint, counted by the evaluator."""
    checkpoint_sha256: str | None = None
    audits: tuple[Audit, ...] = ()
    details: Mapping[str, float | None] = field(default_factory=dict)
    """How much was scored, and how: name to number."""

    @property
    def failed(self) -> tuple[Audit, ...]:
        """The audits that were not passed."""
        return tuple(audit for audit in self.audits if not audit.passed)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @staticmethod
    def from_json(raw: Mapping[str, Any]) -> Evaluation:
        """The inverse of `to_json`."""
        return Evaluation(**{**raw, "audits": tuple(Audit(**audit) for audit in raw["audits"])})
