"""What a rehearsal found: read as strictly as if the agent had written it, and told in sentences of ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from env.store.evaluation import StoredCostGrowth
from runner.inside.digits import rounded
from runner.inside.findings import BEFORE_A_TEST, ERRORS, FORMS, MAX_LINES, OTHER_ERROR, FindingKind, Part
from runner.inside.names import COST_LENGTHS
from runner.text import readable

SHOWN_CHARS = 160
"""Of a line of the agent's file that is shown beside its number."""
_Line = Annotated[int, Field(ge=1, le=1_000_000)]
_Count = Annotated[int, Field(ge=0, le=1 << 53)]
_DOING = {
    Part.SIZE: "building the model at its real size",
    Part.LENGTHS: "running the model on inputs of {length}",
    Part.TRAINING: "two optimizer steps at a tiny size",
    Part.COST: "counting the model's operations",
    Part.CAUSALITY: "loading the checkpoint and running the model",
}
_LENGTHS = {1: "1 token", 63: "63 tokens"}
_ANOTHER_LENGTH = "one token less than the block size"
_DIGITS = 3
"""Of a count of parameters that is above the cap."""
_CODES = {FindingKind.TOO_LARGE: "too_many_parameters"}
_CODES_OF_PARTS = {Part.SIZE: "cannot_be_built", Part.LENGTHS: "cannot_take_lengths"}


class RehearsalFinding(BaseModel):
    """One thing that a rehearsal found wrong."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    part: Part
    kind: FindingKind
    error: str = ""
    """The exception's type, if it is one of ERRORS."""
    form: str = ""
    """The key in FORMS of the exception's message; empty for one of no known kind."""
    lines: Annotated[tuple[_Line, ...], Field(max_length=MAX_LINES)] = ()
    """Where in the agent's file, the innermost last."""
    length: _Count = 0
    """The input's length in tokens."""
    figure: _Count = 0
    """How many parameters there are."""

    @property
    def forbids_a_test(self) -> bool:
        """Whether a test of the same text would fail for the same reason, whatever it trains on."""
        return self.part in BEFORE_A_TEST and self.kind in (FindingKind.TOO_LARGE, FindingKind.RAISED)

    @property
    def code(self) -> str:
        """Of the refusal of a test."""
        return _CODES.get(self.kind) or _CODES_OF_PARTS.get(self.part, "rehearsal_failed")


class _CostEntry(BaseModel):
    model_config = ConfigDict(extra="ignore")

    rise: Annotated[float, Field(ge=-100, le=100)] | None
    subquadratic: bool | None


class _RehearsalFile(BaseModel):
    model_config = ConfigDict(extra="ignore")

    cost: _CostEntry | None = None

    parameters: _Count | None
    findings: Annotated[tuple[RehearsalFinding, ...], Field(max_length=len(Part))]


@dataclass(frozen=True)
class Rehearsed:
    """A rehearsal that came to its end."""

    findings: tuple[RehearsalFinding, ...]
    parameters: int | None = None
    """Of the model at its real size, as a checkpoint of it is counted; None where they could not be."""
    cost_growth: StoredCostGrowth | None = None
    """Of an untrained model; None where the task does not ask."""

    @property
    def passed(self) -> bool:
        return not self.findings


def read_rehearsal(raw: bytes | None) -> Rehearsed | None:
    """The report; None for anything else. A report without parameters has found something."""
    try:
        file = _RehearsalFile.model_validate_json(raw or b"")
    except (ValidationError, RecursionError):
        return None
    if file.parameters is None and not file.findings:
        return None
    if len({finding.part for finding in file.findings}) < len(file.findings):
        return None
    return Rehearsed(file.findings, file.parameters, None if file.cost is None else _cost_growth(file.cost))


def _cost_growth(entry: _CostEntry) -> StoredCostGrowth:
    known = entry.subquadratic is not None and entry.rise is not None
    return StoredCostGrowth(
        lengths=COST_LENGTHS,
        beside_softmax=entry.rise,
        subquadratic=entry.subquadratic if known else None,
        why_not="" if known else "it does not run on inputs of these lengths on a CPU, or its operations do not show",
    )


def told(finding: RehearsalFinding, text: str, cap: int | None) -> str:
    """The finding in words; `text` is the agent's file, of which the named lines are shown, `cap` the most parameters
    that are allowed.
    """
    doing = _DOING[finding.part].format(length=_LENGTHS.get(finding.length, _ANOTHER_LENGTH))
    match finding.kind:
        case FindingKind.TOO_LARGE:
            about = int(rounded(float(finding.figure), _DIGITS) or 0)
            return f"about {about:,} parameters at the real size, at most {cap or 0:,} are allowed."
        case FindingKind.LATE:
            return f"{doing} took too long on this host's CPU."
        case FindingKind.ENDED:
            return f"{doing}: the process ended before it was done."
        case FindingKind.SILENT:
            return f"{doing}: the training printed no TRAIN_METRICS with a finite loss."
        case FindingKind.CHECKPOINT:
            return f"{doing}: the training left no checkpoint."
        case FindingKind.LEAKS:
            return (
                "causality: what the model expects in the first half of a sequence changes when only tokens of the "
                "second half are changed. A position may see itself and earlier ones only."
            )
        case FindingKind.NEEDS_GPU:
            where = "\n".join(_shown(finding.lines, text))
            told = f"{doing} needs a GPU, or what runs on GPUs only, and a rehearsal has none: nothing is known of it."
            return f"{told}\n{where}".rstrip()
        case FindingKind.RAISED:
            name = finding.error if finding.error in ERRORS else f"an exception of {OTHER_ERROR}"
            why = FORMS.get(finding.form)
            head = f"{doing} raised {name}{f' ({why})' if why else ''}"
            return "\n".join((f"{head}{':' if finding.lines else '.'}", *_shown(finding.lines, text)))


def _shown(lines: Sequence[int], text: str) -> Iterator[str]:
    """Lines of the agent's file with their numbers; a number that it does not have is left out."""
    source: Mapping[int, str] = dict(enumerate(text.split("\n"), start=1))
    for number in lines:
        if number in source:
            yield f"{number:6d}: {readable(source[number].encode()).rstrip()[:SHOWN_CHARS]}"
