"""Bodies about one result."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from pydantic import ConfigDict, Field

from ringfence.api.base import Body, DeltaNoise, Score

Record = TypeVar("Record")

CURVE_SOURCE = "self-reported, dev split"


class Labels(Body):
    template_unmodified: bool = Field(description="The tested files are those that the task gives.")
    duplicate_of: str | None = Field(
        description="Run key of the first result recorded before with the same code, task version and scale."
    )
    auto_submitted: bool = Field(description="Submitted for its session, not by it.")
    more_compute: bool = Field(
        False, description="Its training took more than 1.25 times the compute of the unedited script: ranked apart."
    )


class AuditRecord(Body):
    """One check of the model's answers."""

    run: str
    name: str
    passed: bool
    figure: float | None = Field(description="The worst that was seen, in `unit`; null when it was not finite.")
    limit: float | None
    unit: str
    samples: int
    where: str


class ParameterRecord(Body):
    counted: int | None = Field(description="In the checkpoint, by the evaluator.")
    cap: int | None


class SelfReported(Body):
    """Steps, and losses in nats per token: what the training said of itself, beside what it is to be compared with."""

    steps_reported: int | None = Field(None, description="Optimizer steps before the last report.")
    steps_expected: int | None = Field(None, description="Of every training of this scale.")
    first_val_loss: float | None = Field(description="Said before the first update.")
    uniform_loss: float | None = Field(description="ln V: of a model that knows nothing.")
    last_val_loss: float | None = Field(description="Said last, on the dev split.")
    evaluated_val_loss: float | None = Field(description="Found by the evaluator, on held-out data.")


class CertificateRecord(Body):
    """What the claimed `val_loss` is worth by an exam on text that no process with the agent's code has seen."""

    claimed: float | None = Field(description="The metric itself, nats per token.")
    certified: float = Field(description="The loss that the exam gives on the held-out text, nats per token.")
    error: float = Field(description="Its standard error, nats per token.")
    limit: float = Field(description="The most by which the claim may be better, nats per token.")
    tokens: int = Field(description="How many tokens were predicted in the exam.")
    reference: float | None = Field(description="The unedited model's loss on the held-out text; null without one.")


class ComputeRecord(Body):
    """The training's time beside that of the unedited script, the reference, on the same hardware. In seconds."""

    ratio: float | None = Field(description="How many times the reference's; null where they cannot be compared.")
    measure: str = Field(description="`cpu`: processor time of all processes; `wall`: the clock's, on GPUs.")
    used_s: float | None = None
    reference_s: float | None = None
    why_not: str = ""


class DataRecord(Body):
    """Data folders and a SHA-256 over what was noted of their files; null where nothing was."""

    training: dict[str, str | None]
    held_out: dict[str, str | None]
    reserve: dict[str, str | None] = Field(description="What exam texts are drawn from, where they are not written.")


class ExamRecord(Body):
    """Whether there was text for the evaluation that no run has seen."""

    data_set: str | None
    sat: bool
    why_not: str


class RunRecord(Body):
    """One run of the test. Times are the host's, in Unix seconds and in seconds."""

    run: str
    stage: str
    status: str
    reason: str
    started_at: float | None
    ended_at: float | None
    note: str = ""
    elapsed_s: float | None = None
    baseline_s: float | None = None
    slowdown: float | None = Field(None, description="Training time as a multiple of `baseline_s`.")
    cpu_s: float | None = Field(None, description="Processor seconds of all its processes.")
    paused_s: float | None = Field(
        None, description="Seconds in which it was frozen for another test's evaluation; no part of `elapsed_s`."
    )
    details: dict[str, float | None] = Field(default_factory=dict)


class IntegrityRecord(Body):
    """How a result came about and what was audited. Results of earlier versions lack some of it."""

    model_config = ConfigDict(extra="allow")

    code_sha256: dict[str, str]
    template_sha256: str
    template_unmodified: bool
    parameters: ParameterRecord | None = None
    checkpoint_sha256: str | None = None
    certificate: CertificateRecord | None = None
    audits: tuple[AuditRecord, ...] = ()
    self_reported: SelfReported | None = None
    compute: ComputeRecord | None = None
    data: DataRecord | None = None
    exam: ExamRecord | None = None
    reference: str | None = Field(None, description="Key of the reference that it was compared with.")
    ringfence: str = Field(description="The service's version.")
    world_size: int
    settings: dict[str, str]
    machine: dict[str, Any] = Field(description="Hardware, image and versions.")
    devices: tuple[str, ...] = ()
    runs: tuple[RunRecord, ...]


class ResultOf(Body, Generic[Record]):
    """A finished test, whole, with its record in one of two forms."""

    run_key: str
    timestamp: str
    task_id: str
    task_version: str
    agent: str
    session_id: str
    test: int
    is_final: bool
    status: str
    scale: str
    seed: int | None
    score: Score
    delta_noise: DeltaNoise
    parameters: int | None
    compute: float | None = Field(None, description="The training's compute as a multiple of the unedited script's.")
    certified: float | None = Field(None, description="The val_loss that an exam on unseen text gives, nats per token.")
    certified_error: float | None = Field(None, description="Its standard error, nats per token.")
    labels: Labels
    metrics: dict[str, float | None]
    elapsed: dict[str, float | None]
    record: Record
    code_sha256: str = Field(description="Over the names and texts of all tested files.")
    code: dict[str, str] | None = Field(
        description="The tested files. Null until the session has submitted a result, but for the session's own token "
        "and for operators' keys."
    )


class CurveView(Body):
    """What a run said of itself while it trained: shown, never scored. The three arrays are of one length."""

    run_key: str
    source: str = Field(description=f"Always `{CURVE_SOURCE}`.")
    stage: str = Field(description="Label of the training stage; empty when no losses were reported.")
    points: int = Field(description="How many points the run reported; the arrays may hold fewer.")
    step: tuple[int, ...]
    train_loss: tuple[float | None, ...] = Field(description="Nats per token; null where it was not finite.")
    val_loss: tuple[float | None, ...] = Field(description="Nats per token; null where it was not finite.")


class ResultView(ResultOf[IntegrityRecord]):
    """A finished test, whole."""


class StoredResult(ResultOf[dict[str, Any]]):
    """The same as the service gives it: with the record's JSON as it was stored, whichever version stored it."""
