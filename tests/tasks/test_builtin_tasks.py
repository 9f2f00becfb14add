"""The nine tasks that come with the product, against the table of outside landmarks."""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest

from tasks.load import load_tasks
from tasks.model import SessionBudget, Task

KEYS = ("learning_rate", "weight_decay", "warmup_iters", "min_lr", "grad_clip")
OVERRIDES = ("# CONFIG_OVERRIDES", "CONFIG_OVERRIDES = {}")


class Landmark(NamedTuple):
    first: int
    last: int
    begins: str
    """How the first line begins that is no comment rule."""
    ends: str
    """How the last line begins; empty for a blank one."""


LAYOUT: dict[str, tuple[int, list[Landmark]]] = {
    "normalization": (
        437,
        [
            Landmark(22, 31, "class LayerNorm(", ""),
            Landmark(88, 100, "class Block(", ""),
            Landmark(245, 247, *OVERRIDES),
        ],
    ),
    "embedding": (473, [Landmark(115, 140, "class TokenEmbedding(", ""), Landmark(265, 267, *OVERRIDES)]),
    "residual": (
        441,
        [
            Landmark(88, 99, "class Block(", "return x"),
            Landmark(128, 130, "# ", "# "),
            Landmark(162, 164, "# ", "x = block(x)"),
            Landmark(175, 192, "def configure_optimizers(", "return optimizer"),
            Landmark(251, 251, "CONFIG_OVERRIDES = {}", "CONFIG_OVERRIDES = {}"),
        ],
    ),
    "loss": (439, [Landmark(188, 191, "def compute_loss(logits, targets)", ""), Landmark(247, 249, *OVERRIDES)]),
    "linear-attention": (
        438,
        [
            Landmark(33, 70, "class CausalSelfAttention(", "return self."),
            Landmark(88, 100, "class Block(", "return x"),
            Landmark(246, 248, *OVERRIDES),
        ],
    ),
    "attention": (437, [Landmark(33, 70, "class CausalSelfAttention(", ""), Landmark(245, 247, *OVERRIDES)]),
    "mlp": (437, [Landmark(72, 86, "class MLP(", ""), Landmark(245, 247, *OVERRIDES)]),
    "optimizer": (437, [Landmark(171, 189, "def configure_optimizers(", ""), Landmark(245, 247, *OVERRIDES)]),
    "lr-schedule": (437, [Landmark(191, 201, "def get_lr(", ""), Landmark(245, 247, *OVERRIDES)]),
}
BATCHES = {**dict.fromkeys(("residual", "loss", "linear-attention"), (13535, 32, 16)), "attention": (13535, 64, 8)}
"""Iterations, micro-batch and accumulation at gpt-345m of tasks that differ from the scale."""


@pytest.fixture(scope="module")
def tasks() -> dict[str, Task]:
    return load_tasks()


@pytest.fixture(params=LAYOUT)
def variant(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def task(tasks: dict[str, Task], variant: str) -> Task:
    return tasks[f"llm-pretrain-{variant}"]


def test_the_nine_are_there(tasks: dict[str, Task]) -> None:
    assert tasks.keys() == {f"llm-pretrain-{variant}" for variant in LAYOUT}


def test_totals_and_ranges(task: Task, variant: str) -> None:
    total, landmarks = LAYOUT[variant]
    assert len(task.lines) == total
    assert task.editable == tuple((landmark.first, landmark.last) for landmark in landmarks)


def test_ranges_begin_and_end_at_their_landmarks(task: Task, variant: str) -> None:
    for first, last, begins, ends in LAYOUT[variant][1]:
        lines = [line.strip() for line in task.lines[first - 1 : last]]
        if lines[0].startswith("# ──") and not begins.startswith("#"):
            lines = lines[1:]
        assert lines[0].startswith(begins)
        assert lines[-1].startswith(ends) if ends else lines[-1] == ""


def test_rules_of_play_are_the_defaults(task: Task) -> None:
    assert task.filename == "nanoGPT/custom_pretrain.py"
    assert task.budget == SessionBudget(tests=3, steps=0, checks=10, probes=6)
    assert task.override_keys == KEYS
    assert not task.allow_create


def test_every_scale_trains_then_evaluates(task: Task) -> None:
    assert list(task.scales) == ["smoke", "gpt-124m", "gpt-345m"]
    for name, size in (("smoke", "smoke"), ("gpt-124m", "124m"), ("gpt-345m", "345m")):
        stages = task.scales[name].stages
        assert [(stage.label, stage.script, stage.role) for stage in stages] == [
            (f"gpt-{size}", f"scripts/gpt_{size}.sh", "train"),
            (f"lm-eval-{size}", f"scripts/lm_eval_{size}.sh", "evaluate"),
        ]
        assert all(stage.script_text for stage in stages)
        assert task.scales[name].world_size == 2
        assert task.scales[name].seed == 42


def test_training_tokens_at_gpt_345m(task: Task, variant: str) -> None:
    settings = task.scales["gpt-345m"].settings
    shape = tuple(int(settings[name]) for name in ("MAX_ITERS", "BATCH_SIZE", "GRAD_ACCUM"))
    assert shape == BATCHES.get(variant, (12030, 96, 6))
    tokens = shape[0] * shape[1] * shape[2] * int(settings["BLOCK_SIZE"])
    assert tokens == pytest.approx(7.1e9, rel=0.01)
    assert float(settings["LEARNING_RATE"]) == 3e-4
    assert settings["COMPILE"] == ("0" if variant == "linear-attention" else "1")


def test_the_proxy_of_gpt_345m(task: Task, variant: str) -> None:
    assert {name: scale.probe for name, scale in task.scales.items()} == {
        "smoke": None,
        "gpt-124m": None,
        "gpt-345m": "gpt-124m",
    }
    settings = task.scales["gpt-124m"].settings
    assert [settings[name] for name in ("N_LAYER", "N_HEAD", "N_EMBD", "BLOCK_SIZE")] == ["12", "12", "768", "1024"]
    sequences = int(settings["BATCH_SIZE"]) * int(settings["GRAD_ACCUM"])
    assert (int(settings["MAX_ITERS"]), sequences) == (1335, 512)
    assert int(settings["MAX_ITERS"]) * sequences * int(settings["BLOCK_SIZE"]) == pytest.approx(0.7e9, rel=0.01)
    assert settings["COMPILE"] == ("0" if variant == "linear-attention" else "1")
    assert "21 of 24 pairs" in task.scales["gpt-124m"].summary


def test_description_names_exactly_the_editable_lines(task: Task) -> None:
    named = re.findall(r"^- Lines? (\d+)(?:–(\d+))?,", task.description, flags=re.MULTILINE)
    assert tuple((int(first), int(last or first)) for first, last in named) == task.editable


def test_one_task_asks_how_the_cost_grows(task: Task, variant: str) -> None:
    assert task.cost_growth == ("sub-quadratic" if variant == "linear-attention" else None)


@pytest.mark.parametrize("word", ["Research question", "Interfaces to keep", "What is fixed", "How it is evaluated"])
def test_description_has_every_section(task: Task, word: str) -> None:
    assert f"## {word}\n" in task.description


BASELINES = {
    "normalization": ["rmsnorm", "rmsnorm_parallel", "rmsnorm_post"],
    "embedding": ["bigram_hash", "untied", "value_embed"],
    "residual": ["attention_residuals", "hyper_connections", "layer_scale", "vanilla", "x0_blend"],
    "loss": ["label_smoothing", "softcap_ce", "z_loss"],
    "linear-attention": ["deltanet", "gla", "linear", "retnet"],
    "attention": ["qk_norm", "rope", "rope_qk_norm"],
    "mlp": ["geglu", "relu_squared", "swiglu"],
    "optimizer": ["adamw_nesterov", "lion", "muon"],
    "lr-schedule": ["trapezoidal", "wsd", "wsd_sqrt"],
}


def test_baselines(task: Task, variant: str) -> None:
    assert [baseline.name for baseline in task.baselines] == BASELINES[variant]


def test_time_is_capped_as_a_multiple_of_the_baselines(task: Task) -> None:
    """Recorded runs on two H200 took 17,506 to 21,133 s; a smoke run takes about 8 s on two quiet cores."""
    full, smoke = (task.scales[name].stages[0] for name in ("gpt-345m", "smoke"))
    assert 17_506 < full.baseline_s < 21_133
    assert full.timeout_s == 2 * full.baseline_s
    assert (smoke.baseline_s, smoke.timeout_s) == (8, 120)
