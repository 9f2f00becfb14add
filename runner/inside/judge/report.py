"""The evaluator's report and the one file it is written to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runner.inside.digits import METRIC_DIGITS, rounded
from runner.inside.faults import SetupFault
from runner.inside.judge.certificate import Certificate
from runner.inside.judge.checkpoint import Checkpoint
from runner.inside.judge.cost_growth import CostGrowth
from runner.inside.judge.finding import LIMIT_DIGITS, AuditFinding
from runner.inside.judge.telling import SHARE_OF_ERROR, to_step

EXACT = 15
"""Significant digits of what nobody can steer."""


@dataclass(frozen=True)
class EvaluationReport:
    """What an evaluation, or a rehearsal, found."""

    checkpoint: Checkpoint
    metrics: Mapping[str, float]
    """As they are told."""
    audits: Sequence[AuditFinding] = ()
    details: Mapping[str, float | int] = field(default_factory=dict)
    """How much was scored, and how long it took."""
    certificate: Certificate | None = None
    """That of `val_loss`."""
    losses: Mapping[str, float] = field(default_factory=dict)
    """Each metric's mean loss in nats per scored token, in full: for the operator alone."""
    cost_growth: CostGrowth | None = None
    """None where the task does not ask."""
    read: bool = True
    """Whether the checkpoint was looked at beyond its header, so that it has a digest."""

    @property
    def rejected(self) -> str | None:
        """The complaints of the audits that failed, in one line for people; None when all passed."""
        return "; ".join(audit.complaint for audit in self.audits if not audit.passed) or None


def write_report(report: EvaluationReport, out_dir: Path) -> None:
    """Write `metrics.json`, complete or not at all; a value that is not finite is null. Raises SetupFault.

    The metrics of a rejected checkpoint are left out: they are claims that did not hold. What agents may read has so
    few digits, and places in the data are left out, because the agent's code could spell the data in them.
    """
    metrics = {} if report.rejected else report.metrics
    content = {
        "metrics": _rounded(metrics, METRIC_DIGITS),
        "parameters": report.checkpoint.parameters,
        "checkpoint_sha256": report.checkpoint.sha256 if report.read else None,
        "rejected": report.rejected,
        "audits": [
            {
                "figure": rounded(audit.told, EXACT),
                "limit": audit.told_limit,
                "name": audit.name,
                "passed": audit.passed,
                "unit": audit.unit,
                "samples": audit.samples,
                "where": audit.metric,
                **({} if audit.passed else {"complaint": audit.complaint}),
            }
            for audit in report.audits
        ],
        "details": _rounded(report.details, EXACT),
    }
    if report.cost_growth is not None and not report.rejected:
        content["cost_growth"] = _growth(report.cost_growth)
    if report.certificate is not None and not report.rejected:
        content["certificate"] = _told(report.certificate, report.metrics)
    partial = out_dir / "metrics.json.partial"
    try:
        partial.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        partial.replace(out_dir / "metrics.json")
    except OSError as error:
        raise SetupFault("OUT_DIR", f"{out_dir} cannot be written: {error.strerror}") from None


def _growth(growth: CostGrowth) -> dict[str, object]:
    return {
        "lengths": list(growth.lengths),
        "operations": [rounded(count, METRIC_DIGITS) for count in growth.operations],
        "beside_softmax": None if growth.beside_softmax is None else rounded(growth.beside_softmax, 3),
        "exponent": None if growth.exponent is None else rounded(growth.exponent, 3),
        "device": growth.device,
        "trained": growth.trained,
        "subquadratic": growth.subquadratic,
        "why_not": growth.why_not,
    }


def _told(certificate: Certificate, metrics: Mapping[str, float]) -> dict[str, float | None]:
    """What the code may have steered to few digits, like the metric itself."""
    return {
        "claimed": rounded(metrics["val_loss"]),
        "certified": to_step(certificate.certified, max(certificate.error * SHARE_OF_ERROR, 1e-6)),
        "error": rounded(certificate.error, LIMIT_DIGITS),
        "limit": rounded(certificate.limit, LIMIT_DIGITS),
        "tokens": certificate.tokens,
        "reference": None if certificate.reference is None else rounded(certificate.reference),
    }


def _rounded(values: Mapping[str, float | None], digits: int) -> dict[str, float | None]:
    return {name: None if value is None else rounded(value, digits) for name, value in values.items()}
