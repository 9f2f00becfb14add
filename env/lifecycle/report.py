"""Reads metrics.json, the evaluator's report, as strictly as if somebody else had written it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StringConstraints, ValidationError

from env.store.evaluation import Audit, Evaluation
from runner.text import readable

MAX_REASON = 1500
"""Characters of a reason that are kept, and of a place a tenth."""

_Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
_AuditName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
_Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_Count = Annotated[int, Field(ge=0, le=1 << 53)]
_Text = Annotated[str, StringConstraints(max_length=10_000)]


class _Strict(BaseModel):
    # Keys that nobody here knows do no harm: they are not kept.
    model_config = ConfigDict(strict=True, extra="ignore")


class _Audit(_Strict):
    name: _AuditName
    passed: bool
    figure: FiniteFloat | None
    limit: FiniteFloat | None
    unit: Annotated[str, StringConstraints(max_length=64)]
    samples: _Count
    where: _Text = ""


class _File(_Strict):
    metrics: Annotated[dict[_Name, float | None], Field(max_length=64)]
    rejected: _Text | None = None
    parameters: _Count | None = None
    checkpoint_sha256: _Sha256 | None = None
    audits: Annotated[list[_Audit], Field(max_length=32)] = []
    details: Annotated[dict[_Name, FiniteFloat | None], Field(max_length=256)] = {}


@dataclass(frozen=True)
class Report:
    metrics: dict[str, float]
    """NaN where the file says null. Empty when rejected, otherwise not."""
    rejected: str
    """Why the result must not count; empty when it may."""
    evaluation: Evaluation


def read_report(raw: bytes) -> Report | None:
    """The report, or None for anything else.

    `{"metrics": {name: number|null}}` alone is enough. A report with an audit that was not passed is a rejection, even
    if it does not say so itself.
    """
    try:
        file = _File.model_validate_json(raw)
    except (ValidationError, RecursionError):
        return None
    evaluation = Evaluation(
        parameters=file.parameters,
        checkpoint_sha256=file.checkpoint_sha256,
        audits=tuple(map(_audit, file.audits)),
        details=dict(file.details),
    )
    if file.rejected is not None or evaluation.failed:
        return Report({}, _one_line(file.rejected or "", MAX_REASON) or _in_words(evaluation), evaluation)
    if not file.metrics:
        return None
    metrics = {name: math.nan if value is None else value for name, value in file.metrics.items()}
    return Report(metrics, "", evaluation)


def _audit(audit: _Audit) -> Audit:
    return Audit(**audit.model_dump(exclude={"unit", "where"}), unit=_one_line(audit.unit, 64), where=_where(audit))


def _where(audit: _Audit) -> str:
    return _one_line(audit.where, MAX_REASON // 10)


def _in_words(evaluation: Evaluation) -> str:
    """For a report that was sparing with words."""
    if not evaluation.failed:
        return "an audit failed"
    return "; ".join(
        f"{audit.name}: {'not finite' if audit.figure is None else f'{audit.figure:g}'} {audit.unit}"
        + ("" if audit.limit is None else f", the limit is {audit.limit:g}")
        + (f", {audit.where}" if audit.where else "")
        for audit in evaluation.failed
    )


def _one_line(text: str, limit: int) -> str:
    """Names in a checkpoint are the agent's: nothing of them may look like more than text in a line."""
    line = re.sub(r"\s+", " ", readable(text.encode("utf-8", "replace"))).strip()
    return line if len(line) <= limit else f"{line[: limit - 4]} ..."
