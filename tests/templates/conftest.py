from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from runner.metrics import TrainMetrics, parse_train_metrics

TINY = {
    "N_LAYER": "2", "N_HEAD": "2", "N_EMBD": "16", "BLOCK_SIZE": "16", "VOCAB_SIZE": "64", "DROPOUT": "0.0",
    "BIAS": "0", "MAX_ITERS": "8", "BATCH_SIZE": "4", "GRAD_ACCUM": "4", "LEARNING_RATE": "0.01", "WEIGHT_DECAY": "0.1",
    "BETA1": "0.9", "BETA2": "0.95", "GRAD_CLIP": "1.0", "EVAL_INTERVAL": "4", "EVAL_ITERS": "4", "SEED": "7",
    "DEVICE": "cpu", "DTYPE": "float32", "COMPILE": "0", "WORLD_SIZE_EXPECTED": "2",
}  # fmt: skip
"""Settings of a run whose time is spent on importing torch."""


@dataclass(frozen=True)
class Run:
    codes: tuple[int, ...]
    """Exit status of every rank."""
    out: str
    """What rank 0 printed."""
    err: str
    folder: Path

    @property
    def metrics(self) -> list[TrainMetrics]:
        return [metrics for line in self.out.splitlines() if (metrics := parse_train_metrics(line))]


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Token files in which every token says what comes next, most of the time."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for name in ("train", "dev"):
        tokens = np.arange(20_000) * 5 % 64
        noise = rng.random(len(tokens)) < 0.2
        tokens[noise] = rng.integers(64, size=int(noise.sum()))
        tokens.astype("<u2").tofile(folder / f"{name}.bin")
    return folder


@pytest.fixture
def launch(tmp_path: Path, data_dir: Path) -> Callable[..., Run]:
    """Trains a script's text on two processes: what torchrun does, without its two seconds."""

    def run(text: str, settings: Mapping[str, str] | None = None) -> Run:
        script = tmp_path / "script.py"
        script.write_text(text, encoding="utf-8")
        out_dir = tmp_path / "out"
        out_dir.mkdir(exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        shared = {
            "OUT_DIR": str(out_dir),
            "DATA_DIR": str(data_dir),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }
        env = {
            "PATH": os.environ["PATH"],
            "OMP_NUM_THREADS": "1",
            "WORLD_SIZE": "2",
            **TINY,
            **shared,
            **(settings or {}),
        }
        ranks = [
            subprocess.Popen(
                [sys.executable, script],
                env=env | {"RANK": str(rank)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in range(2)
        ]
        try:
            outputs = [rank.communicate(timeout=60) for rank in ranks]
        finally:
            for rank in ranks:
                rank.kill()
        return Run(tuple(rank.returncode for rank in ranks), outputs[0][0], outputs[0][1], out_dir)

    return run


@pytest.fixture
def tiny_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data_dir: Path) -> pytest.MonkeyPatch:
    """The environment of rank 0 of a tiny run, for this process."""
    places = {"OUT_DIR": str(tmp_path), "DATA_DIR": str(data_dir), "RANK": "0", "WORLD_SIZE": "2"}
    for name, value in {**TINY, **places}.items():
        monkeypatch.setenv(name, value)
    for name in ("LOCAL_RANK", "WARMUP_ITERS", "MIN_LR"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch
