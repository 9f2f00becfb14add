"""A small model of our own, its checkpoint, and everything an evaluation finds around it."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
import torch
from safetensors.torch import save_model

from runner.inside.names import DISMISSED, EVALUATE, GONE, REFERENCE, worker_names
from runner.inside.settings import EvaluationSettings, read_settings
from tests.support.warm_workers import StartWorker, warm_workers

BLOCK_SIZE = 16

TINY_SCRIPT = """
from dataclasses import dataclass
import torch
from torch import nn

@dataclass
class GPTConfig:
    block_size: int
    vocab_size: int
    n_layer: int
    n_head: int
    n_embd: int
    dropout: float
    bias: bool

class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.block_size, config.n_embd)
        self.mix = nn.Linear(config.n_embd, config.n_embd)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.lm_head.weight = self.wte.weight

    def forward(self, idx, targets=None):
        x = self.wte(idx) + self.wpe(torch.arange(idx.shape[1]))
        return self.lm_head(x + torch.tanh(self.mix(x.cumsum(1)))), None

if __name__ == "__main__":
    raise SystemExit("the training part must not run")
"""


@dataclass(frozen=True)
class Bench:
    """Folders of one evaluation, and how to run it."""

    root: Path
    env: dict[str, str]
    start_worker: StartWorker

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def script(self) -> Path:
        return self.work / self.env["SCRIPT"]

    @property
    def checkpoint(self) -> Path:
        return self.root / "in" / "model.safetensors"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def settings(self) -> EvaluationSettings:
        return read_settings(self.env)

    @property
    def meet(self) -> Path:
        return Path(self.env["MEET_DIR"])

    @contextmanager
    def workers(self) -> Iterator[None]:
        """The model workers as plain processes that know their script and where to go."""
        with ExitStack() as stack:
            ends: dict[str, Callable[[], object]] = {}
            for name in worker_names(int(self.env["SCORERS"]), reference=self.env.get("REFERENCE") == "1"):
                shutil.rmtree(self.meet / name, ignore_errors=True)
                (self.meet / name).mkdir()
                environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
                environment |= {"SCRIPT": self.env["SCRIPT"], "MEET_DIR": str(self.meet / name)}
                of_worker = stack.enter_context(ExitStack())
                of_worker.enter_context(self.start_worker(environment, self._work_of(name)))
                ends[name] = of_worker.close
            stop = Event()
            watch = Thread(target=_kill_the_dismissed, args=(self.meet, ends, stop))
            watch.start()
            try:
                yield
            finally:
                stop.set()
                watch.join(60)

    def _work_of(self, name: str) -> Path:
        return self.root / "reference-work" if name == REFERENCE else self.work

    def evaluate(self, what: str = "language-modelling") -> subprocess.CompletedProcess[str]:
        """The evaluator as it is started in its sandbox, beside its workers."""
        command = [sys.executable, *EVALUATE[1:], what]
        with self.workers():
            environment = {**os.environ, **self.env}
            return subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, timeout=400)

    def build_model(self) -> torch.nn.Module:
        """The script's model, in this process, with weights large enough for probabilities that differ."""
        spec = importlib.util.spec_from_file_location("script_under_test", self.script)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["script_under_test"] = module
        spec.loader.exec_module(module)
        torch.manual_seed(7)
        names = ("block_size", "vocab_size", "n_layer", "n_head", "n_embd")
        shape = {name: int(self.env[name.upper()]) for name in names}
        model: torch.nn.Module = module.GPT(module.GPTConfig(**shape, dropout=0.0, bias=False))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(2.0)
        return model.eval()

    def save_checkpoint(self) -> torch.nn.Module:
        """The script's model, also saved where a training run would leave it."""
        model = self.build_model()
        save_model(model, str(self.checkpoint))
        return model

    def report(self) -> dict[str, dict[str, float]]:
        content: dict[str, dict[str, float]] = json.loads((self.root / "out" / "metrics.json").read_text())
        return content


def _kill_the_dismissed(meet: Path, ends: Mapping[str, Callable[[], object]], stop: Event) -> None:
    """The runner's part in a rendezvous."""
    left = dict(ends)
    while not stop.wait(0.02):
        for name in [name for name in left if (meet / name / DISMISSED).exists()]:
            left.pop(name)()
            (meet / name / GONE).touch()


@pytest.fixture
def tiny_script() -> str:
    return TINY_SCRIPT


@pytest.fixture(scope="session")
def start_worker() -> Iterator[StartWorker]:
    with warm_workers() as start:
        yield start


@pytest.fixture
def make_bench(tmp_path: Path, start_worker: StartWorker) -> Callable[[str], Bench]:
    """A bench for a script: settings of a tiny model, little data, no checkpoint yet."""

    def make(script: str) -> Bench:
        for name in ("work/pkg", "in", "out", "data", "meet"):
            (tmp_path / name).mkdir(parents=True)
        env = {
            "SCRIPT": "pkg/custom.py",
            "INPUT_DIR": str(tmp_path / "in"),
            "OUT_DIR": str(tmp_path / "out"),
            "EVAL_DATA_DIR": str(tmp_path / "data"),
            "MEET_DIR": str(tmp_path / "meet"),
            "MAX_PARAMETERS": "1000000",
            "SCORERS": "1",
            "REQUEST_TIMEOUT_S": "30",
            "TOKENIZER": "bytes",
            **{"N_LAYER": "1", "N_HEAD": "2", "N_EMBD": "8", "BLOCK_SIZE": str(BLOCK_SIZE), "VOCAB_SIZE": "256"},
            **{"BIAS": "0", "SEED": "1", "DEVICE": "cpu", "DTYPE": "float32"},
        }
        bench = Bench(tmp_path, env, start_worker)
        bench.script.write_text(script)
        rng = np.random.default_rng(0)
        rng.integers(256, size=10 * (BLOCK_SIZE + 1) + 5).astype("<u2").tofile(bench.data / "heldout.bin")
        documents = ["one two  three\nfour five, which is longer than a block", "short", "exactly sixteen!"]
        passages = ["a passage that is far longer than the block of the model", "no block is full"]
        for name, texts in {"wikitext2": documents, "lambada": passages}.items():
            (bench.data / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        return bench

    return make


@pytest.fixture
def bench(make_bench: Callable[[str], Bench]) -> Bench:
    """The tiny script and a checkpoint that fits it."""
    made = make_bench(TINY_SCRIPT)
    made.save_checkpoint()
    return made
