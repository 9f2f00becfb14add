"""A task as plain values, after every check has passed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Literal

CHANGE_NO_FIGURE = ("AUDIT_SAMPLES", "SCORERS", "REQUEST_TIMEOUT_S", "START_TIMEOUT_S", "CERTIFICATE_TOKENS")
"""Settings that an evaluation reads, and that change no metric."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One command of a test.

    `train` stages run the agent's code and leave a checkpoint, which the evaluator then scores; `evaluate` stages
    are the operator's own code, run on the checkpoint of the train stage before them.
    """

    label: str
    script: str
    """Path as the agent sees it, e.g. `scripts/gpt_smoke.sh`."""
    script_text: str
    role: Literal["train", "evaluate"] = "train"
    timeout_s: float = 3600.0
    baseline_s: float | None = None
    """Seconds the unedited script takes on the hardware the scale is made for, where known."""
    max_slowdown: float | None = None
    """How many times that an edited script may take; with `baseline_s` it makes `timeout_s`."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """A size to run at: stages in order, and the settings their scripts find in the environment."""

    name: str
    stages: tuple[Stage, ...]
    settings: Mapping[str, str]
    """Upper-case environment variable to value, e.g. `MAX_ITERS` to `12030`."""
    data: Mapping[str, str]
    """Environment variable to data folder name, for train stages (`DATA_DIR` to `smoke/train`)."""
    evaluation_data: Mapping[str, str]
    """The same for evaluation: only the evaluator sees these folders."""
    world_size: int = 2
    memory_mb: int = 8192
    max_parameters: int | None = None
    """The most numbers a checkpoint may hold, as `runner.inside.judge.checkpoint` counts them. Never None where a stage
    trains, unless the task was stored before there were caps."""
    summary: str = ""
    """One paragraph for the prompt: model, data set, iterations, hardware."""
    probe: str | None = None
    """The name of the task's scale at which probes of this one run, its proxy; None where there are no probes."""

    @property
    def seed(self) -> int | None:
        value = self.settings.get("SEED")
        return None if value is None else int(value)


MAX_TESTS = 1000
"""The most tests that a session may have."""


@dataclass(frozen=True)
class SessionBudget:
    """What a session may spend: tests, steps, rehearsals, probes, time on GPUs."""

    tests: int = 3
    """MAX_TESTS where time on GPUs alone is limited."""
    steps: int = 0
    """Tool calls per session; 0 means no limit."""
    checks: int = 10
    probes: int = 6
    """Tests at the proxy of the session's scale, where it has one."""
    gpu_hours: float | None = None
    """Of all GPUs of a test together; None means no limit. A test begins as long as any of it is left."""


@dataclass(frozen=True)
class Baseline:
    """A known method as edits of the task's file: a reference for agents, an anchor for scores."""

    name: str
    title: str
    source: str
    """Where the method comes from: a paper, or whose practice it is."""
    edits: tuple[Mapping[str, str | int], ...]
    """Arguments of the edit tool without the file's name, applied one after another."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What an agent is asked to do, complete: nothing is read from disk after loading."""

    id: str
    title: str
    description: str
    """Markdown, from `description.md`."""
    filename: str
    """The editable file's path as the agent sees it, POSIX, relative."""
    text: str
    """The rendered template, ending in a newline."""
    editable: tuple[tuple[int, int], ...]
    """1-based inclusive line ranges, ascending, at least one fixed line between neighbours."""
    scales: Mapping[str, Scale]
    budget: SessionBudget = SessionBudget()
    allow_create: bool = False
    override_keys: tuple[str, ...] = ()
    """Keys that CONFIG_OVERRIDES may carry; empty when the script has no such dictionary."""
    max_file_bytes: int = 65536
    """Size cap of the edited file, UTF-8 bytes."""
    baselines: tuple[Baseline, ...] = ()
    """In the order of their names."""
    cost_growth: Literal["sub-quadratic"] | None = None
    """How the cost of a model may grow with the length of its input, where the question is about that."""

    @property
    def lines(self) -> list[str]:
        return self.text.split("\n")[:-1]

    @cached_property
    def version(self) -> str:
        """SHA-256 over everything above: two rows with one version were asked the same question."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def question(self, scale: str) -> str:
        """SHA-256 over what the figures of its baselines at one of its scales follow from: the script, the baselines'
        edits, how the scale trains and measures, and which of them answer the task at all. Texts for readers, budgets,
        limits and other scales do not count.
        """
        size = self.scales[scale]
        about = [
            self.filename,
            self.text,
            {one.name: [dict(edit) for edit in one.edits] for one in self.baselines},
            [[stage.label, stage.script, stage.script_text, stage.role] for stage in size.stages],
            {name: value for name, value in size.settings.items() if name not in CHANGE_NO_FIGURE},
            [dict(size.data), dict(size.evaluation_data), size.world_size],
            *([] if self.cost_growth is None else [self.cost_growth]),
        ]
        return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> str:
        # Settings and scales keep their order: the prompt shows them in it. What is not there is not written, so that
        # a task stored before a key existed keeps its version.
        raw = asdict(self, dict_factory=lambda items: {key: value for key, value in items if value is not None})
        if not raw["baselines"]:
            del raw["baselines"]
        if not any(scale.probe for scale in self.scales.values()):
            del raw["budget"]["probes"]
        return json.dumps(raw, ensure_ascii=False, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> Task:
        """The inverse of `to_json`."""
        raw = json.loads(text)
        raw["editable"] = tuple((a, b) for a, b in raw["editable"])
        raw["override_keys"] = tuple(raw["override_keys"])
        raw["budget"] = SessionBudget(**raw["budget"])
        raw["scales"] = {
            name: Scale(**{**scale, "stages": tuple(Stage(**stage) for stage in scale["stages"])})
            for name, scale in raw["scales"].items()
        }
        raw["baselines"] = tuple(
            Baseline(**{**baseline, "edits": tuple(baseline["edits"])}) for baseline in raw.get("baselines", ())
        )
        return Task(**raw)
