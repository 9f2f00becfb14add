"""From a checked scale table to a Scale: built-in values beneath, script texts read."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from tasks.errors import TaskError
from tasks.fields import LABEL
from tasks.model import Scale, Stage
from tasks.schema import LONGEST_S, ScaleTable, StageTable
from tasks.source import read_source, with_plain_lines
from templates.render import BASE, scale, script

# The settings that a script's number of parameters depends on.
_SHAPE = frozenset({"n_layer", "n_head", "n_embd", "block_size", "vocab_size", "bias"})
_DEFAULT_TIMEOUT_S = 3600.0
_MANY = 1 << 48
_WHOLE = {
    "SEED": (0, (1 << 63) - 1),
    "SCORERS": (1, 64),
    **dict.fromkeys(("N_LAYER", "N_HEAD", "N_EMBD", "BLOCK_SIZE", "VOCAB_SIZE"), (1, _MANY)),
    **dict.fromkeys(("EVAL_TOKENS", "AUDIT_SAMPLES", "REQUEST_TIMEOUT_S"), (1, _MANY)),
}
"""Settings that the evaluation reads as well, and what they may be: a mistake there is not for an agent to find."""
_ONE_OF = {
    "TOKENIZER": ("bytes", "gpt2"),
    "DEVICE": ("cpu", "cuda"),
    "DTYPE": ("float32", "bfloat16", "float16"),
    "BIAS": ("0", "1"),
}


def on_builtin_scales(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The raw task tables with every scale that has a built-in's name laid over that built-in.

    Tables are merged key by key, everything else, `stages` among it, is replaced whole. What has the wrong type is
    passed through for the check that follows.
    """
    scales = raw.get("scales")
    if not isinstance(scales, dict):
        return dict(raw)
    return {**raw, "scales": {name: _on_builtin(name, table) for name, table in scales.items()}}


def _on_builtin(name: str, own: Any) -> Any:
    # The name is checked first because it becomes part of a path.
    text = scale(name) if LABEL.fullmatch(name) else None
    if text is None or not isinstance(own, dict):
        return own
    base = tomllib.loads(text)
    if _another_shape(base["settings"], own.get("settings")):
        del base["max_parameters"]
    return base | {key: _over(base.get(key), value) for key, value in own.items()}


def _another_shape(base: Mapping[str, Any], own: Any) -> bool:
    """Whether a task's own settings make another model of it: the built-in cap says nothing about that one."""
    if not isinstance(own, dict):
        return False
    return any(base[name.lower()] != value for name, value in own.items() if name.lower() in _SHAPE)


def _over(base: Any, own: Any) -> Any:
    if not isinstance(base, dict) or not isinstance(own, dict):
        return own
    # Setting names count the same in either case, so that `batch_size` replaces `BATCH_SIZE`.
    replaced = {name.upper() for name in own}
    return {name: value for name, value in base.items() if name.upper() not in replaced} | own


def build_scale(file: Path, name: str, table: ScaleTable, filename: str) -> Scale:
    """The scale with its stage scripts read: beside task.toml, else built-in. Raises TaskError."""
    key = f"scales.{name}"
    _check_variables(file, key, table)
    stages: list[Stage] = []
    for i, stage in enumerate(table.stages):
        at = f"{key}.stages[{i}]"
        if any(stage.label == other.label for other in stages):
            raise TaskError(file, f"{at}.label", f"{stage.label} is taken by a stage before; labels must differ")
        if stage.script == filename:
            raise TaskError(file, f"{at}.script", f"{filename} is the editable file; a script needs a path of its own")
        text, is_own = _script(file, f"{at}.script", stage.script)
        if stage.role == "evaluate" and not is_own and not any(other.role == "train" for other in stages):
            message = f"the built-in {stage.script} scores a checkpoint; put a stage with role train before it"
            raise TaskError(file, f"{at}.role", message)
        timeout_s = _timeout_s(file, at, stage)
        stages.append(
            Stage(
                label=stage.label,
                script=stage.script,
                script_text=text,
                role=stage.role,
                timeout_s=timeout_s,
                baseline_s=stage.baseline_s,
                max_slowdown=stage.max_slowdown,
            )
        )
    if table.max_parameters is None and any(stage.role == "train" for stage in stages):
        message = (
            "is required: no cap is known for a scale that trains another model than a built-in one; 1.05 times the "
            "largest baseline is usual (python -m runner.inside.size counts)"
        )
        raise TaskError(file, f"{key}.max_parameters", message)
    return Scale(
        name=name,
        stages=tuple(stages),
        settings=table.settings,
        data=table.data,
        evaluation_data=table.evaluation_data,
        world_size=table.world_size,
        memory_mb=table.memory_mb,
        max_parameters=table.max_parameters,
        summary=table.summary.strip(),
        probe=table.probe,
    )


def check_proxies(file: Path, scales: Mapping[str, Scale]) -> None:
    """Raises TaskError where a scale's `probe` names no other scale of the task."""
    errors = []
    for name, one in scales.items():
        others = [other for other in scales if other != name]
        if one.probe is not None and one.probe not in others:
            allowed = f"allowed are {', '.join(others)}" if others else "there is none; drop the key, or add one"
            message = f"{one.probe} is no other scale of this task; {allowed}"
            errors.append(TaskError(file, f"scales.{name}.probe", message))
    if errors:
        raise TaskError.together(errors)


def builtin_scale(name: str) -> Scale | None:
    """The built-in scale of this name, as the base script is run at it; None if there is none."""
    text = scale(name) if LABEL.fullmatch(name) else None
    if text is None:
        return None
    return build_scale(Path("scales", f"{name}.toml"), name, ScaleTable.model_validate(tomllib.loads(text)), BASE)


def _timeout_s(file: Path, key: str, stage: StageTable) -> float:
    baseline_s, slowdown = stage.baseline_s, stage.max_slowdown
    if baseline_s is None and slowdown is None:
        return _DEFAULT_TIMEOUT_S if stage.timeout_s is None else stage.timeout_s
    if baseline_s is None or slowdown is None:
        missing, other = ("baseline_s", "max_slowdown") if baseline_s is None else ("max_slowdown", "baseline_s")
        raise TaskError(file, f"{key}.{missing}", f"is required beside {other}: together they limit the stage's time")
    if stage.timeout_s is not None:
        raise TaskError(file, f"{key}.timeout_s", "follows from baseline_s and max_slowdown; drop it, or drop the two")
    if baseline_s * slowdown > LONGEST_S:
        raise TaskError(file, f"{key}.max_slowdown", f"lets the stage take more than {LONGEST_S:,.0f} s")
    return baseline_s * slowdown


def _script(file: Path, key: str, name: str) -> tuple[str, bool]:
    """The text of a stage script, and whether it is the task's own."""
    source = read_source(file.parent, name, blame=(file, key))
    if source is not None:
        return with_plain_lines(source), True
    text = script(name)
    if text is None:
        raise TaskError(file, key, f"no file {name} beside task.toml, and no built-in script has that path")
    return text, False


def _check_variables(file: Path, key: str, table: ScaleTable) -> None:
    for name in sorted(table.settings.keys() & _WHOLE.keys()):
        value, (least, most) = table.settings[name], _WHOLE[name]
        if not (value.isascii() and value.isdigit() and len(value) < 20 and least <= int(value) <= most):
            raise TaskError(
                file, f"{key}.settings.{name}", f"must be a whole number from {least} to {most}, not {value}"
            )
    for name in sorted(table.settings.keys() & _ONE_OF.keys()):
        value, allowed = table.settings[name], _ONE_OF[name]
        if value not in allowed:
            raise TaskError(file, f"{key}.settings.{name}", f"must be {' or '.join(allowed)}, not {value}")
    for name in sorted(table.settings.keys() & (table.data.keys() | table.evaluation_data.keys())):
        raise TaskError(file, f"{key}.settings.{name}", "is also the variable of a data folder; rename one of them")
    trained_on = [PurePosixPath(folder) for folder in table.data.values()]
    for name, folder in table.evaluation_data.items():
        held_out = PurePosixPath(folder)
        if any(held_out.is_relative_to(seen) or seen.is_relative_to(held_out) for seen in trained_on):
            message = f"{folder} can be read in training as well; held-out data needs a folder apart from those in data"
            raise TaskError(file, f"{key}.evaluation_data.{name}", message)
