"""Whether a host has what a scale needs at all."""

from __future__ import annotations

from pathlib import Path

from env.lifecycle.plan import on_gpus
from runner.pool import Pool
from tasks.model import Scale


def lacking(scale: Scale, pool: Pool, data_dir: Path | None) -> str | None:
    """What is missing to run tests at a scale on the devices of `pool`, in words; None where nothing is.

    `data_dir` is the data folder; None where nothing is really trained.
    """
    if not pool.fits(scale.world_size):
        kind = "GPUs" if on_gpus(scale) else "slots"
        return f"needs {scale.world_size} {kind}, which this service does not have"
    folders = dict.fromkeys((*scale.data.values(), *scale.evaluation_data.values()))
    missing = [name for name in folders if data_dir is not None and not (data_dir / name).is_dir()]
    return f"needs the data {', '.join(missing)}, which is not prepared here" if missing else None
