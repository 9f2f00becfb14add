"""The reference of a scale: the unedited base script, trained and scored here once for each data folder.

Other models are compared with it: what they cost to train, and what they predict of the same text.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from runner.data.digests import file_digests
from tasks.data_sets import data_set_of, scale_reading
from tasks.model import CHANGE_NO_FIGURE, Scale, Task
from tasks.scales import builtin_scale
from templates.render import BASE, names, render

FOLDER = "reference"
"""The folder in the data folder that holds a folder for each reference."""
SCRIPT = f"{BASE}.py"
_SHAPE = ("N_LAYER", "N_HEAD", "N_EMBD", "BLOCK_SIZE", "VOCAB_SIZE", "BIAS", "TOKENIZER", "DEVICE", "DTYPE")


class ReferenceTable(BaseModel):
    """What is in `reference.json`."""

    model_config = ConfigDict(strict=True, extra="ignore")

    heldout_loss: Annotated[float, Field(allow_inf_nan=False)]
    """Nats per token on the held-out text, as the evaluator measured it."""
    training_s: Annotated[float, Field(gt=0)]
    """Wall-clock seconds of the training."""
    cpu_s: Annotated[float, Field(gt=0)] | None
    """Processor seconds of the training, all processes together."""
    settings: dict[str, str]
    world_size: int
    seed: int | None
    machine: dict[str, str]
    """Hardware, image and versions."""
    ringfence: str
    data: dict[str, dict[str, str]]
    """Data folder to SHA-256 by file."""
    script_sha256: str
    checkpoint_sha256: str
    metrics: dict[str, float] = Field(default_factory=dict)
    """What its evaluation measured, by bare name; empty in references from before this was noted."""
    data_key: str | None = None
    """Of all that these metrics come from, as results have it."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A reference that is there."""

    key: str
    table: ReferenceTable

    @property
    def folder(self) -> str:
        """The name of its data folder, with `model.safetensors` and `reference.json`."""
        return f"{FOLDER}/{self.key}"

    @property
    def script(self) -> str:
        """The name of its script."""
        return SCRIPT

    @property
    def files(self) -> Mapping[str, str]:
        return {SCRIPT: render(BASE)}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a reference is made of."""

    scale: Scale
    data: Mapping[str, Mapping[str, str]]
    """Data folder to SHA-256 by file."""

    @property
    def script_sha256(self) -> str:
        return hashlib.sha256(render(BASE).encode()).hexdigest()

    @property
    def key(self) -> str:
        """Of everything that its loss depends on."""
        settings = {name: value for name, value in self.scale.settings.items() if name not in CHANGE_NO_FIGURE}
        about = [settings, self.scale.world_size, self.scale.stages[0].script_text, self.data, self.script_sha256]
        return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:32]


def recipe(task: Task, scale: Scale, data_dir: Path, seed: int | None = None) -> Recipe | None:
    """How the reference for tests of a task at one of its scales is made; None where there is none.

    With a `seed`, how it is made once more at that seed, for what a single training does not tell.

    Tasks with a script that is not built in have none: theirs may be about something else. A scale that has a built-in
    one's name, shape and data shares its reference, however the task trains there.
    """
    if task.text not in _builtin_scripts():
        return None
    folders = [*scale.data.values(), scale.evaluation_data.get("EVAL_DATA_DIR", "")]
    if not scale.stages or scale.stages[0].role != "train" or not scale.data or not all(folders):
        return None
    if not scale.settings.keys() >= set(_SHAPE):
        return None
    digests = {name: file_digests(data_dir, name) for name in folders}
    heldout = digests[folders[-1]].get("heldout.bin")
    if heldout is None or not all(digests.values()):
        return None  # nobody can say of which data it would be
    digests[folders[-1]] = {"heldout.bin": heldout}
    scale = _as_builtin(scale)
    if seed is not None and "SEED" in scale.settings:
        scale = Scale(**{**vars(scale), "settings": {**scale.settings, "SEED": str(seed)}})
    return Recipe(scale=scale, data=digests)


def find(wanted: Recipe | None, data_dir: Path) -> Reference | None:
    """The reference made by this recipe; None if there is none yet, or none that can be read."""
    if wanted is None:
        return None
    folder = data_dir / FOLDER / wanted.key
    try:
        table = ReferenceTable.model_validate_json((folder / "reference.json").read_bytes())
    except (OSError, ValidationError):
        return None
    return Reference(key=wanted.key, table=table) if (folder / "model.safetensors").is_file() else None


def put(data_dir: Path, key: str, table: ReferenceTable, weights: bytes) -> None:
    """Put a reference into the data folder: it appears there whole, and never twice.

    One that is there and has no metrics gets those of `table`, and stays as it is otherwise.
    """
    root = data_dir / FOLDER
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".making-") as draft:
        made = Path(draft, key)
        made.mkdir()
        (made / "model.safetensors").write_bytes(weights)
        (made / "reference.json").write_text(table.model_dump_json(indent=1) + "\n", encoding="utf-8")
        made.chmod(0o755)
        for file in made.iterdir():
            file.chmod(0o644)
        if not (root / key).exists():
            made.rename(root / key)
            return
        noted = root / key / "reference.json"
        with contextlib.suppress(OSError, ValidationError):
            known = ReferenceTable.model_validate_json(noted.read_bytes())
            if not known.metrics:
                known = known.model_copy(update={"metrics": table.metrics, "data_key": table.data_key})
                (made / "reference.json").write_text(known.model_dump_json(indent=1) + "\n", encoding="utf-8")
                (made / "reference.json").replace(noted)


def listed(data_dir: Path) -> list[Reference]:
    """Every reference in the data folder that can be read."""
    found = []
    for file in sorted((data_dir / FOLDER).glob("*/reference.json")):
        try:
            found.append(Reference(key=file.parent.name, table=ReferenceTable.model_validate_json(file.read_bytes())))
        except (OSError, ValidationError):
            continue
    return found


@cache
def _builtin_scripts() -> frozenset[str]:
    return frozenset(map(render, names()))


def _as_builtin(scale: Scale) -> Scale:
    builtin, data_set = builtin_scale(scale.name), data_set_of(scale)
    if builtin is not None and data_set is not None:
        builtin = scale_reading(builtin, data_set)
    if (
        builtin is None
        or any(builtin.settings[name] != scale.settings[name] for name in _SHAPE)
        or (builtin.data, builtin.evaluation_data) != (scale.data, scale.evaluation_data)
    ):
        return scale
    # The loss on the held-out text is a mean over as much of it as other models are scored on.
    tokens = {name: scale.settings[name] for name in ("EVAL_TOKENS",) if name in scale.settings}
    settings = {name: value for name, value in builtin.settings.items() if name != "EVAL_TOKENS"} | tokens
    return Scale(**{**vars(builtin), "settings": settings})
