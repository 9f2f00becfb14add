"""The worker's side of a model: import the agent's script, build its GPT, load the checkpoint into it."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from runner.inside.settings import ModelSettings

MODULE_NAME = "agent_script"
"""The name that the script is imported by: never `__main__`, because its training part must not run."""


class ModelError(Exception):
    """The agent's model cannot be used; one line that says why."""


def load_model(script: Path, weights: bytes, settings: ModelSettings) -> torch.nn.Module:
    """The agent's GPT with a safetensors checkpoint's weights, in evaluation mode on its device. Raises ModelError."""
    model = build_model(script, settings)
    with blamed("loading the checkpoint", script):
        _load_weights(model, weights)
        return model.to(settings.device).eval()


def build_model(script: Path, settings: ModelSettings) -> torch.nn.Module:
    """The agent's GPT as it is before training, on the CPU or where `torch.device(…)` says. Raises ModelError."""
    return build_again(script, _import_script(script), settings)


def build_again(script: Path, module: ModuleType, settings: ModelSettings) -> torch.nn.Module:
    """Another GPT of the script, which has been imported as `module`. Raises ModelError."""
    for name in ("GPT", "GPTConfig"):
        if not hasattr(module, name):
            raise ModelError(f"{script.name} defines no {name}")
    torch.manual_seed(settings.seed)
    with blamed("building the model", script):
        config = module.GPTConfig(
            block_size=settings.block_size,
            vocab_size=settings.vocab_size,
            n_layer=settings.n_layer,
            n_head=settings.n_head,
            n_embd=settings.n_embd,
            dropout=0.0,
            bias=settings.bias,
        )
        model = module.GPT(config)
    if not isinstance(model, torch.nn.Module):
        raise ModelError(f"GPT in {script.name} is not a torch.nn.Module")
    return model


@contextmanager
def blamed(doing: str, script: Path) -> Iterator[None]:
    """Turn whatever the agent's code raises, SystemExit included, into a ModelError."""
    try:
        yield
    except ModelError:
        raise
    except BaseException as error:
        raise ModelError(f"{doing} failed: {_describe(error, script)}") from error


def _describe(error: BaseException, script: Path) -> str:
    """The exception in one line, with the innermost place in the agent's script."""
    text = " ".join(str(error).split()) or "no message"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == script]
    place = f" ({script.name}, line {frames[-1].lineno}, in {frames[-1].name})" if frames else ""
    return f"{type(error).__name__}: {text[:1000]}{place}"


def _import_script(script: Path) -> ModuleType:
    """Run the script's top level as a module, its folder importable as it is when it is run directly."""
    spec = importlib.util.spec_from_file_location(MODULE_NAME, script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(script.parent))
    sys.modules[MODULE_NAME] = module  # dataclasses look their module up by name
    with blamed(f"importing {script.name}", script):
        spec.loader.exec_module(module)
    return module


def stored_tensors(model: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Every parameter and persistent buffer by its name, tied ones by each of their names.

    The model's own code has no part in it: `state_dict` could be overridden, or have hooks.
    """
    for prefix, module in model.named_modules(remove_duplicate=False):
        for name, tensor in [*module._parameters.items(), *module._buffers.items()]:
            if tensor is not None and name not in module._non_persistent_buffers_set:
                yield f"{prefix}.{name}" if prefix else name, tensor


def _load_weights(model: torch.nn.Module, weights: bytes) -> None:
    """Strict: every tensor of the model from the file and every tensor of the file into the model.

    Of tensors that share memory (tied weights) the file needs only one, as safetensors stores them. Numbers are copied
    to where the freshly built model has them; no loading code of the model's runs.
    """
    try:
        stored = load(weights)
    except SafetensorError as error:
        raise ModelError(f"the checkpoint cannot be read: {' '.join(str(error).split())}") from error
    wanted = dict(stored_tensors(model))
    covered = {_memory(wanted[name]) for name in stored if name in wanted}
    complaints = [
        _complaint("missing", [name for name, tensor in wanted.items() if _memory(tensor) not in covered]),
        _complaint("unexpected", [name for name in stored if name not in wanted]),
        _complaint(
            "of another shape",
            [
                f"{name} {tuple(tensor.shape)} instead of {tuple(wanted[name].shape)}"
                for name, tensor in stored.items()
                if name in wanted and tensor.shape != wanted[name].shape
            ],
        ),
    ]
    if any(complaints):
        raise ModelError(f"the checkpoint does not fit the model: {'; '.join(filter(None, complaints))}")
    with torch.no_grad():
        for name, tensor in stored.items():
            wanted[name].copy_(tensor)


def _memory(tensor: torch.Tensor) -> Any:
    return tensor.data_ptr(), tensor.shape, tensor.stride()


def _complaint(what: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{len(names)} tensor(s) {what}: {', '.join(sorted(names)[:5])}{more}"
