"""What to evaluate and on what, read from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runner.inside.faults import SetupFault

CERTIFICATE_TOKENS = {"bytes": 8192, "gpt2": 16384}
"""How many tokens an exam predicts where the settings do not say it, by tokenizer."""


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """How the worker builds the agent's model. Dropout is absent: an evaluation never drops anything."""

    n_layer: int
    n_head: int
    n_embd: int
    block_size: int
    """Longest input in tokens."""
    vocab_size: int
    bias: bool
    seed: int
    device: str
    """`cpu` or `cuda`."""
    dtype: str
    """`float32`, or the type of the autocast the model runs under: `bfloat16` or `float16`."""


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """Everything that one evaluation is told."""

    checkpoint: Path
    out_dir: Path
    data_dir: Path
    tokenizer: str
    """`bytes` or `gpt2`."""
    eval_tokens: int | None
    """At most this many held-out tokens are scored; None scores them all."""
    max_parameters: int
    """The most numbers that the checkpoint may hold, as `charges.py` counts them."""
    meet_dir: Path
    """The folder where workers and evaluator meet: a folder in it for each worker, by its name."""
    scorers: int
    """How many workers score, beside the one that audits."""
    audit_samples: int
    """At most this many claims of each metric are audited."""
    certificate_tokens: int
    """At most this many tokens are predicted in the exam."""
    exam_dir: Path | None
    """The folder with text that no process which runs the agent's code has seen; None without an exam."""
    reference_dir: Path | None
    """The folder with a checkpoint of the unedited script and `reference.json`; None without a reference."""
    start_timeout_s: float
    """Seconds that a worker has to come, to load the model, and to compile what it likes in its first answers."""
    request_timeout_s: float
    """Seconds that a worker has to answer one request."""
    cost_growth: bool
    """Whether to measure how the model's cost grows with the length of its input."""
    model: ModelSettings


def read_settings(env: Mapping[str, str]) -> EvaluationSettings:
    """The settings of an evaluation in `env`. Raises SetupFault naming the variable."""
    tokenizer = _one_of(env, "TOKENIZER", "bytes", "gpt2")
    return EvaluationSettings(
        checkpoint=Path(_text(env, "INPUT_DIR")) / "model.safetensors",
        out_dir=Path(_text(env, "OUT_DIR")),
        data_dir=Path(_text(env, "EVAL_DATA_DIR")),
        tokenizer=tokenizer,
        eval_tokens=_positive(env, "EVAL_TOKENS") if env.get("EVAL_TOKENS") else None,
        max_parameters=_positive(env, "MAX_PARAMETERS"),
        meet_dir=Path(_text(env, "MEET_DIR")),
        scorers=_positive(env, "SCORERS", default=1),
        audit_samples=_positive(env, "AUDIT_SAMPLES", default=1024),
        certificate_tokens=_positive(env, "CERTIFICATE_TOKENS", default=CERTIFICATE_TOKENS[tokenizer]),
        exam_dir=Path(env["EXAM_DIR"]) if env.get("EXAM_DIR") else None,
        reference_dir=Path(_text(env, "REFERENCE_DIR")) if env.get("REFERENCE") == "1" else None,
        start_timeout_s=_positive(env, "START_TIMEOUT_S", default=240),
        request_timeout_s=_positive(env, "REQUEST_TIMEOUT_S", default=120),
        cost_growth=env.get("COST_GROWTH") == "1",
        model=read_model_settings(env),
    )


def read_model_settings(env: Mapping[str, str]) -> ModelSettings:
    """How `env` says the model is built. Raises SetupFault naming the variable."""
    return ModelSettings(
        n_layer=_positive(env, "N_LAYER"),
        n_head=_positive(env, "N_HEAD"),
        n_embd=_positive(env, "N_EMBD"),
        block_size=_positive(env, "BLOCK_SIZE"),
        vocab_size=_positive(env, "VOCAB_SIZE"),
        bias=_one_of(env, "BIAS", "0", "1") == "1",
        seed=_integer(env, "SEED"),
        device=_one_of(env, "DEVICE", "cpu", "cuda"),
        dtype=_one_of(env, "DTYPE", "float32", "bfloat16", "float16"),
    )


def _text(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "")
    if not value:
        raise SetupFault(name, "not set")
    return value


def _integer(env: Mapping[str, str], name: str) -> int:
    value = _text(env, name)
    try:
        return int(value)
    except ValueError:
        raise SetupFault(name, f"not a whole number: {value!r}") from None


def _positive(env: Mapping[str, str], name: str, default: int | None = None) -> int:
    if default is not None and not env.get(name):
        return default
    value = _integer(env, name)
    if value < 1:
        raise SetupFault(name, f"must be at least 1, is {value}")
    return value


def _one_of(env: Mapping[str, str], name: str, *allowed: str) -> str:
    value = _text(env, name)
    if value not in allowed:
        raise SetupFault(name, f"must be {' or '.join(allowed)}, is {value!r}")
    return value
