"""Reads metrics.json, the evaluator's report, as strictly as if somebody else had written it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StringConstraints, ValidationError

from env.store.evaluation import CertifiedLoss, Evaluation, StoredAudit, StoredCostGrowth
from runner.inside.digits import rounded
from runner.text import readable

MAX_REASON = 1500
"""Characters of a reason that are kept; of the place of an audit's figure a tenth."""

_Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
_AuditName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
_Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_Count = Annotated[int, Field(ge=0, le=1 << 53)]
_Text = Annotated[str, StringConstraints(max_length=10_000)]


class _Strict(BaseModel):
    # Keys that nobody here knows do no harm: they are not kept.
    model_config = ConfigDict(strict=True, extra="ignore")


class _AuditEntry(_Strict):
    name: _AuditName
    passed: bool
    figure: FiniteFloat | None
    limit: FiniteFloat | None
    unit: Annotated[str, StringConstraints(max_length=64)]
    samples: _Count
    where: _Text = ""
    complaint: _Text = ""


class _CertificateEntry(_Strict):
    claimed: FiniteFloat | None
    certified: FiniteFloat
    error: Annotated[FiniteFloat, Field(ge=0)]
    limit: Annotated[FiniteFloat, Field(ge=0)]
    tokens: Annotated[_Count, Field(gt=0)]
    reference: FiniteFloat | None


class _CostGrowthEntry(_Strict):
    lengths: Annotated[list[_Count], Field(max_length=16)]
    operations: Annotated[list[FiniteFloat], Field(max_length=16)]
    beside_softmax: FiniteFloat | None
    exponent: FiniteFloat | None
    device: Annotated[str, StringConstraints(max_length=16)] = "cpu"
    trained: bool
    subquadratic: bool | None
    why_not: _Text = ""


class _ReportFile(_Strict):
    metrics: Annotated[dict[_Name, float | None], Field(max_length=64)]
    rejected: _Text | None = None
    parameters: _Count | None = None
    checkpoint_sha256: _Sha256 | None = None
    audits: Annotated[list[_AuditEntry], Field(max_length=32)] = []
    details: Annotated[dict[_Name, FiniteFloat | None], Field(max_length=256)] = {}
    certificate: _CertificateEntry | None = None
    cost_growth: _CostGrowthEntry | None = None


@dataclass(frozen=True)
class CheckedReport:
    """What an evaluation found, in a form that may be stored and shown."""

    metrics: dict[str, float]
    """NaN where the file says null. Empty when rejected, otherwise not."""
    rejected: str
    """Why the result must not count; empty when it may."""
    evaluation: Evaluation
    """Each audit in it that failed has a complaint, unless only one reason for several of them is known."""


def read_report(raw: bytes) -> CheckedReport | None:
    """The report, or None for anything else.

    `{"metrics": {name: number|null}}` alone is enough. A report with an audit that was not passed is a rejection, even
    if it does not say so itself.
    """
    try:
        file = _ReportFile.model_validate_json(raw)
    except (ValidationError, RecursionError):
        return None
    evaluation = Evaluation(
        parameters=file.parameters,
        checkpoint_sha256=file.checkpoint_sha256,
        audits=tuple(map(_audit, file.audits)),
        details=dict(file.details),
    )
    if file.rejected is not None or evaluation.failed:
        return _rejection(evaluation, _one_line(file.rejected or "", MAX_REASON))
    if not file.metrics:
        return None
    metrics = {name: math.nan if value is None else _short(value) for name, value in file.metrics.items()}
    found = replace(evaluation, certificate=_certificate(file.certificate), cost_growth=_cost_growth(file.cost_growth))
    return CheckedReport(metrics, "", found)


def _certificate(entry: _CertificateEntry | None) -> CertifiedLoss | None:
    if entry is None:
        return None
    return CertifiedLoss(
        claimed=None if entry.claimed is None else _short(entry.claimed),
        certified=_short(entry.certified),
        error=_short(entry.error),
        limit=_short(entry.limit),
        tokens=entry.tokens,
        reference=None if entry.reference is None else _short(entry.reference),
    )


def _cost_growth(entry: _CostGrowthEntry | None) -> StoredCostGrowth | None:
    if entry is None:
        return None
    return StoredCostGrowth(
        lengths=tuple(entry.lengths),
        operations=tuple(map(_short, entry.operations)),
        beside_softmax=None if entry.beside_softmax is None else _short(entry.beside_softmax),
        exponent=None if entry.exponent is None else _short(entry.exponent),
        device=_one_line(entry.device, 16),
        trained=entry.trained,
        subquadratic=entry.subquadratic,
        why_not=_one_line(entry.why_not, MAX_REASON // 3),
    )


def _short(value: float) -> float:
    """So many digits as are told; infinity stays."""
    short = rounded(value)
    return value if short is None else short


def _audit(audit: _AuditEntry) -> StoredAudit:
    return StoredAudit(
        name=audit.name,
        passed=audit.passed,
        figure=audit.figure,
        limit=audit.limit,
        unit=_one_line(audit.unit, 64),
        samples=audit.samples,
        where=_one_line(audit.where, MAX_REASON // 10),
        complaint="" if audit.passed else _one_line(audit.complaint, MAX_REASON),
    )


def _rejection(evaluation: Evaluation, words: str) -> CheckedReport:
    """`words` are the evaluator's own on all audits together; they may be none."""
    failed = evaluation.failed
    if failed and all(audit.complaint for audit in failed):
        complaints = cut([audit.complaint for audit in failed])
    elif not words:
        complaints = [in_figures(audit) for audit in failed]
    elif len(failed) == 1:
        complaints = [words]
    else:
        complaints = [""] * len(failed)
    told = iter(complaints)
    audits = tuple(audit if audit.passed else replace(audit, complaint=next(told)) for audit in evaluation.audits)
    reason = words or "; ".join(filter(None, complaints)) or "an audit failed"
    return CheckedReport({}, reason, replace(evaluation, audits=audits))


def cut(complaints: Sequence[str]) -> list[str]:
    """The complaints, as many and as much of the last as a reason has room for; empty where there is none left.

    Of one that ends within its first word, the audit's name, the rest is left at the end of the one before.
    """
    text = _shortened("; ".join(complaints), MAX_REASON)
    starts: list[int] = []
    at = 0
    for complaint in complaints:
        if not starts or text.startswith(f"{complaint.partition(': ')[0]}: ", at):
            starts.append(at)
        at += len(complaint) + len("; ")
    ends = [start - len("; ") for start in starts[1:]] + [len(text)]
    kept = [text[start:end] for start, end in zip(starts, ends, strict=True)]
    return kept + [""] * (len(complaints) - len(kept))


def in_figures(audit: StoredAudit) -> str:
    """A complaint for an audit that its evaluator found no words for."""
    return (
        f"{audit.name}: {'not finite' if audit.figure is None else f'{audit.figure:g}'} {audit.unit}"
        + ("" if audit.limit is None else f", the limit is {audit.limit:g}")
        + (f", {audit.where}" if audit.where else "")
    )


def _one_line(text: str, limit: int) -> str:
    """Names in a checkpoint are the agent's: nothing of them may look like more than text in a line."""
    return _shortened(re.sub(r"\s+", " ", readable(text.encode("utf-8", "replace"))).strip(), limit)


def _shortened(line: str, limit: int) -> str:
    return line if len(line) <= limit else f"{line[: limit - 4]} ..."
