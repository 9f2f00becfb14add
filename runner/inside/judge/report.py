"""The evaluator's report and the one file it is written to."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runner.inside.faults import SetupFault
from runner.inside.judge.audits import AuditFinding
from runner.inside.judge.checkpoint import Checkpoint


@dataclass(frozen=True)
class EvaluationReport:
    """What an evaluation, or a rehearsal, found."""

    checkpoint: Checkpoint
    metrics: Mapping[str, float]
    audits: Sequence[AuditFinding] = ()
    details: Mapping[str, float | int] = field(default_factory=dict)
    """How much was scored, and how long it took."""

    @property
    def rejected(self) -> str | None:
        """The complaints of the audits that failed, in one line for people; None when all passed."""
        return "; ".join(audit.complaint for audit in self.audits if not audit.passed) or None


def write_report(report: EvaluationReport, out_dir: Path) -> None:
    """Write `metrics.json`, complete or not at all; a value that is not finite is null. Raises SetupFault.

    The metrics of a rejected checkpoint are left out: they are claims that did not hold.
    """
    metrics = {} if report.rejected else report.metrics
    content = {
        "metrics": _strict(metrics),
        "parameters": report.checkpoint.parameters,
        "checkpoint_sha256": report.checkpoint.sha256,
        "rejected": report.rejected,
        "audits": [
            {
                **_strict({"figure": audit.figure, "limit": audit.limit}),
                "name": audit.name,
                "passed": audit.passed,
                "unit": audit.unit,
                "samples": audit.samples,
                "where": audit.where,
                **({} if audit.passed else {"complaint": audit.complaint}),
            }
            for audit in report.audits
        ],
        "details": _strict(report.details),
    }
    partial = out_dir / "metrics.json.partial"
    try:
        partial.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        partial.replace(out_dir / "metrics.json")
    except OSError as error:
        raise SetupFault("OUT_DIR", f"{out_dir} cannot be written: {error.strerror}") from None


def _strict(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
