"""What an evaluation found beside its metrics: what it counted and what it audited."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class StoredAudit:
    """One check of the model's answers, made without running its code in the process that judges."""

    name: str
    """`parameters`, `normalisation`, `causality`, `commitment`, `spread`, `bias`, `drift`, `canary`, `certificate`."""
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
class CertifiedLoss:
    """What a claimed `val_loss` is worth by text that no process with the agent's code has seen, in nats per token."""

    claimed: float | None
    """The metric itself; None when it was not finite."""
    certified: float
    """The loss that the exam gives on the held-out text."""
    error: float
    """Its standard error."""
    limit: float
    """The most by which `claimed` may be better."""
    tokens: int
    """Predicted in the exam."""
    reference: float | None
    """The loss of our unedited model on the held-out text; None where the exam was compared with none."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What an evaluator reports beside metrics. All of it is optional: an operator's own may know metrics only."""

    parameters: int | None = None
    """Numbers in the checkpoint, counted by the evaluator."""
    checkpoint_sha256: str | None = None
    audits: tuple[StoredAudit, ...] = ()
    details: Mapping[str, float | None] = field(default_factory=dict)
    """How much was scored, and how: name to number."""
    certificate: CertifiedLoss | None = None
    """None where there was no text for an exam, in an evaluation that has none, and after a rejection."""

    @property
    def failed(self) -> tuple[StoredAudit, ...]:
        """The audits that were not passed."""
        return tuple(audit for audit in self.audits if not audit.passed)

    def to_json(self) -> dict[str, Any]:
        """The evaluation as JSON values."""
        values = {**asdict(self), "audits": [audit.to_json() for audit in self.audits]}
        return {name: value for name, value in values.items() if name != "certificate" or value is not None}

    @staticmethod
    def from_json(raw: Mapping[str, Any]) -> Evaluation:
        """The inverse of `to_json`, also of what was stored when audits had no complaint and nothing was certified."""
        certificate = raw.get("certificate")
        return Evaluation(
            **{
                **raw,
                "audits": tuple(StoredAudit(**audit) for audit in raw["audits"]),
                "certificate": None if certificate is None else CertifiedLoss(**certificate),
            }
        )
