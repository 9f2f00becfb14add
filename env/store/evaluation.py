"""What an evaluation found beside its metrics: what it counted and what it audited."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

_OPTIONAL = ("certificate", "cost_growth")
"""What is left out of the JSON where there is none: evaluations of earlier versions have no such key."""


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
class StoredCostGrowth:
    """How the operations of a forward pass grow with the length of its input, as the evaluator found it."""

    lengths: tuple[int, ...] = ()
    """In tokens."""
    operations: tuple[float, ...] = ()
    """Of one sequence of each length; none where they could not be counted."""
    beside_softmax: float | None = None
    """How fast the work per token rises, as a multiple of what softmax attention in every layer adds."""
    exponent: float | None = None
    """The power of the length with which the work that is not in proportion to it grows; None if there is none."""
    device: str = "cpu"
    """Where it was counted: kernels of a GPU's own are not seen."""
    trained: bool = False
    """Whether the checkpoint itself was counted, and not an untrained model with a longer context."""
    subquadratic: bool | None = None
    """None where nothing could be counted."""
    why_not: str = ""
    """Why nothing could be counted; empty where it was."""


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
    cost_growth: StoredCostGrowth | None = None
    """None where the task does not ask, and after a rejection."""

    @property
    def failed(self) -> tuple[StoredAudit, ...]:
        """The audits that were not passed."""
        return tuple(audit for audit in self.audits if not audit.passed)

    def to_json(self) -> dict[str, Any]:
        """The evaluation as JSON values."""
        values = {**asdict(self), "audits": [audit.to_json() for audit in self.audits]}
        return {name: value for name, value in values.items() if name not in _OPTIONAL or value is not None}

    @staticmethod
    def from_json(raw: Mapping[str, Any]) -> Evaluation:
        """The inverse of `to_json`, also of what was stored when audits had no complaint and nothing was certified."""
        certificate, growth = raw.get("certificate"), raw.get("cost_growth")
        return Evaluation(
            **{
                **raw,
                "audits": tuple(StoredAudit(**audit) for audit in raw["audits"]),
                "certificate": None if certificate is None else CertifiedLoss(**certificate),
                "cost_growth": None if growth is None else _cost_growth(growth),
            }
        )


def _cost_growth(raw: Mapping[str, Any]) -> StoredCostGrowth:
    return StoredCostGrowth(
        **{**raw, "lengths": tuple(raw["lengths"]), "operations": tuple(raw["operations"])},
    )
