"""Bodies about one result."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from pydantic import ConfigDict, Field

from ringfence.api.base import Body, ClassOfRunner, DeltaNoise, Score
from ringfence.api.comparisons import ComparisonView

Record = TypeVar("Record")

CURVE_SOURCE = "self-reported, dev split"


class Labels(Body):
    template_unmodified: bool = Field(description="The tested files are those that the task gives.")
    duplicate_of: str | None = Field(
        description="Run key of the first result recorded before with the same code on the same board."
    )
    auto_submitted: bool = Field(description="Submitted for its session, not by it.")
    more_compute: bool = Field(
        False, description="Its training took more than 1.25 times the compute of the unedited script: ranked apart."
    )
    unmet: str | None = Field(
        None,
        description="What its task asks for and it does not show, such as `not sub-quadratic`: it has no score, is "
        "never the best and is ranked apart. Null where nothing is missing.",
    )


class AuditRecord(Body):
    """One check of the model's answers."""

    run: str
    name: str
    passed: bool
    figure: float | None = Field(
        description="The worst that was seen, in `unit`, as one of a few shares of the limit; null when not finite."
    )
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
    """Data folders and a SHA-256 over what was noted of their files, or over them; null where neither is known."""

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


class CostGrowthRecord(Body):
    """How the operations of a forward pass grow with the length of its input, where the task asks."""

    lengths: tuple[int, ...] = Field(description="In tokens.")
    operations: tuple[float, ...] = Field(
        description="Of one sequence of each length; none where they could not be counted."
    )
    beside_softmax: float | None = Field(
        description="How fast the work per token rises, as a multiple of what softmax attention in every layer adds."
    )
    exponent: float | None = Field(
        description="The power of the length with which the work that is not in proportion to it grows; null if none."
    )
    device: str = Field("cpu", description="Where it was counted: `cuda` where the script does not run on a CPU.")
    trained: bool = Field(
        description="Whether the checkpoint itself was counted, or the same script at longer context."
    )
    subquadratic: bool | None = Field(description="Null where nothing could be counted.")
    why_not: str = ""


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
    cost_growth: CostGrowthRecord | None = None
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
    board: str | None = Field(None, description="Id of the board it stands on; only its numbers compare with these.")
    runner_class: ClassOfRunner = Field("unknown")
    mark: str = Field("", description="What has to be said beside these numbers; empty for those from sandboxes.")
    runner: str | None = Field(None, description="`docker`, `local` or `fake`; null where it was not recorded.")
    image: str | None = Field(None, description="Id of the image that the code ran in; null where it ran in none.")
    training_data: str | None = Field(None, description="SHA-256; null where it was not recorded.")
    heldout_data: str | None = Field(None, description="SHA-256 of what metrics were measured on.")
    reserve_data: str | None = Field(None, description="SHA-256 of what exam texts were drawn from, if they were.")
    confirms: str | None = Field(None, description="Run key of the result whose code it ran again at another seed.")
    comparison: ComparisonView | None = Field(
        None, description="Its code beside the best baseline; null where there is nothing to compare."
    )
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
    board: str | None = Field(None, description="Id of the board that its result stands on.")
    runner_class: ClassOfRunner = Field("unknown")
    mark: str = Field("", description="What has to be said beside this curve; empty where it is from a sandbox.")
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
