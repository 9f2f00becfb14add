"""What an evaluation found beside its metrics: what it counted and what it audited."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class StoredAudit:
    """One check of the model's answers, made without running its code in the process that judges."""

    name: str
    """`parameters`, `normalisation`, `causality`, `commitment`, `bias`, `drift`, `canary`."""
    passed: bool
    figure: float | None
    """The worst that was seen, in `unit`; None when it was not finite."""
    limit: float | None
    """The most that `figure` may be, in `unit`."""
    unit: str
    samples: int
    """How many places were looked at."""
    where: str = ""
    """The place of the figure, in words."""
    complaint: str = ""
    """What an agent is told of it; empty where it was passed, and where the reason of its run says it for several."""

    def figures(self) -> dict[str, Any]:
        """Everything but the complaint, as JSON values."""
        return {name: value for name, value in asdict(self).items() if name != "complaint"}

    def to_json(self) -> dict[str, Any]:
        """The audit as JSON values; a complaint that is not there is left out."""
        return {**self.figures(), **({"complaint": self.complaint} if self.complaint else {})}


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What an evaluator reports beside metrics. All of it is optional: an operator's own may know metrics only."""

    parameters: int | None = None
    """Numbers in the checkpoint, counted by the evaluator."""
    checkpoint_sha256: str | None = None
    audits: tuple[StoredAudit, ...] = ()
    details: Mapping[str, float | None] = field(default_factory=dict)
    """How much was scored, and how: name to number."""

    @property
    def failed(self) -> tuple[StoredAudit, ...]:
        """The audits that were not passed."""
        return tuple(audit for audit in self.audits if not audit.passed)

    def to_json(self) -> dict[str, Any]:
        """The evaluation as JSON values."""
        return {**asdict(self), "audits": [audit.to_json() for audit in self.audits]}

    @staticmethod
    def from_json(raw: Mapping[str, Any]) -> Evaluation:
        """The inverse of `to_json`, also of what was stored when audits had no complaint."""
        return Evaluation(**{**raw, "audits": tuple(StoredAudit(**audit) for audit in raw["audits"])})
