"""How much of a weight honest models need at `gpt-345m` shape, and how far their losses scatter beside a reference's.

Usage: weights.py --write OUT VARIANT… lays a script for each variant (`TASK[:BASELINE][@SEED]`) into OUT, where this
package is installed; weights.py OUT DATA then trains each for ITERATIONS on one of GPUS and scores held-out blocks in
bfloat16: as trained, with its weights reduced in several ways, and token by token beside the first one's losses. Prints
one JSON line per variant. For hosts with GPUs and torch; DATA as `corpus.py` makes it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

ITERATIONS = int(os.environ.get("ITERATIONS", "300"))
BATCH = int(os.environ.get("BATCH", "16"))
BLOCKS = int(os.environ.get("BLOCKS", "512"))
SHAPE = json.loads(os.environ.get("SHAPE", '{"n_layer": 24, "n_head": 16, "n_embd": 1024}'))
BLOCK_SIZE, VOCAB_SIZE, RATE = 1024, 50304, 6e-4
CUTS = 8
"""Predicted tokens of a block, when the scatter of blocks is looked at as an exam would see it."""


def write(out: Path, variants: list[str]) -> None:
    from env.document.baselines import baseline_document
    from tasks.load import load_tasks

    tasks = load_tasks()
    for number, variant in enumerate(variants):
        named, _, seed = variant.partition("@")
        task_name, _, baseline_name = named.partition(":")
        task = tasks[f"llm-pretrain-{task_name}"]
        baseline = next((one for one in task.baselines if one.name == baseline_name), None)
        folder = out / f"{number:02d}-{variant.replace(':', '-').replace('@', '-')}"
        folder.mkdir(parents=True, exist_ok=True)
        text = task.text if baseline is None else baseline_document(task, baseline).text
        (folder / "custom.py").write_text(text)
        (folder / "seed").write_text(seed or "42")


def main(out: Path, data: Path) -> None:
    folders = sorted(path.parent for path in out.glob("*/custom.py"))
    gpus = os.environ.get("GPUS", "0,1").split(",")

    def measured(job: tuple[int, Path]) -> None:
        number, folder = job
        command = [sys.executable, __file__, "--measure", str(folder), str(data)]
        subprocess.run(command, env={**os.environ, "CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]}, check=False)

    with ThreadPoolExecutor(len(gpus)) as pool:
        list(pool.map(measured, enumerate(folders)))
    losses = {folder.name: np.load(folder / "losses.npy") for folder in folders if (folder / "losses.npy").exists()}
    reference = next(iter(losses.values()))
    for name, of_variant in losses.items():
        print("BESIDE", json.dumps({"variant": name} | beside(of_variant, reference)), flush=True)


def beside(losses: np.ndarray[Any, Any], reference: np.ndarray[Any, Any]) -> dict[str, float]:
    """Scatter per token in nats: alone, beside the reference, and the same as blocks of CUTS predictions show it."""
    rng = np.random.default_rng(1)
    edges = np.linspace(0, losses.shape[1], CUTS + 1).astype(int)
    cuts = np.stack([rng.integers(a, b, len(losses)) for a, b in pairwise(edges)], axis=1)
    chosen, same = (np.take_along_axis(each, cuts, axis=1) for each in (losses, reference))
    return {
        "loss": round(float(losses.mean()), 5),
        "alone": round(float(losses.std()), 3),
        "beside": round(float((losses - reference).std()), 3),
        "correlation": round(float(np.corrcoef(losses.ravel(), reference.ravel())[0, 1]), 4),
        "blocks_alone": round(float(chosen.mean(axis=1).std() * CUTS**0.5), 3),
        "blocks_beside": round(float((chosen - same).mean(axis=1).std() * CUTS**0.5), 3),
    }


def measure(folder: Path, data: Path) -> None:
    import torch

    spec = importlib.util.spec_from_file_location("custom", folder / "custom.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["custom"] = module
    spec.loader.exec_module(module)
    seed = int((folder / "seed").read_text())
    torch.set_float32_matmul_precision("high")
    torch.manual_seed(seed)
    device = torch.device("cuda")
    config = module.GPTConfig(**SHAPE, block_size=BLOCK_SIZE, vocab_size=VOCAB_SIZE, dropout=0.0, bias=False)
    model = module.GPT(config).to(device)
    optimizer = model.configure_optimizers(0.1, RATE, (0.9, 0.95), "cuda")
    ratios = [group["lr"] / RATE for group in optimizer.param_groups]
    rng = np.random.default_rng(seed)
    started = time.monotonic()
    for iteration in range(ITERATIONS):
        x, y = module.get_batch(data / "fineweb10b/train/train.bin", BATCH, BLOCK_SIZE, rng, device)
        with torch.autocast("cuda", torch.bfloat16):
            loss = model(x, y)[1]
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        warm = min(1.0, (iteration + 1) / 20) * (0.1 + 0.9 * 0.5 * (1 + np.cos(np.pi * iteration / ITERATIONS)))
        for group, ratio in zip(optimizer.param_groups, ratios, strict=True):
            group["lr"] = RATE * ratio * warm
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    trained_s = time.monotonic() - started
    del optimizer
    model.eval()
    tokens = np.fromfile(data / "fineweb10b/heldout/heldout.bin", dtype="<u2")
    count = min(BLOCKS, len(tokens) // (BLOCK_SIZE + 1))
    blocks = torch.from_numpy(tokens[: count * (BLOCK_SIZE + 1)].reshape(count, -1).astype(np.int64))

    @torch.inference_mode()
    def losses() -> np.ndarray[Any, Any]:
        found = []
        for rows in blocks.split(8):
            rows = rows.to(device)
            with torch.autocast("cuda", torch.bfloat16):
                output = model(rows[:, :-1])
            logits = (output[0] if isinstance(output, tuple) else output).float()
            found.append(torch.nn.functional.cross_entropy(logits.transpose(1, 2), rows[:, 1:], reduction="none").cpu())
        return torch.cat(found).numpy()

    honest = losses()
    np.save(folder / "losses.npy", honest)
    original = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def changed(**how: Any) -> float:
        with torch.no_grad():
            for name, tensor in model.state_dict().items():
                tensor.copy_(reduced(original[name], **how))
        found = float(losses().mean() - honest.mean())
        with torch.no_grad():
            for name, tensor in model.state_dict().items():
                tensor.copy_(original[name])
        return round(found, 6)

    told: dict[str, Any] = {"variant": folder.name, "trained_s": round(trained_s, 1), "loss": float(honest.mean())}
    told["vectors"] = {
        name: [round(float(tensor.float().mean()), 3), round(float(tensor.float().std()), 3)]
        for name, tensor in list(original.items())
        if tensor.ndim < 2 and tensor.numel() > 1 and ".0." in name
    }
    for name, how in SETTINGS.items():
        told[name] = [changed(seed=draw, **how) for draw in range(2 if "noise" in name else 1)]
    print("WEIGHTS", json.dumps(told), flush=True)


SETTINGS: dict[str, dict[str, Any]] = {
    "noise 2^-5 matrices": {"matrices": 2**-5},
    "noise 2^-6 matrices": {"matrices": 2**-6},
    "noise 2^-7 matrices": {"matrices": 2**-7},
    "noise 2^-6 vectors": {"vectors": 2**-6},
    "noise 2^-8 vectors": {"vectors": 2**-8},
    "flush 2^-6, clip 2^3": {"flush": 2**-6, "clip": 2**3},
    "flush 2^-8, clip 2^4": {"flush": 2**-8, "clip": 2**4},
    "noise 2^-6 matrices, 2^-8 vectors, flush 2^-6, clip 2^3": {
        **{"matrices": 2**-6, "vectors": 2**-8},
        **{"flush": 2**-6, "clip": 2**3},
    },
    "bfloat16": {"to": "bfloat16"},
}


def reduced(
    tensor: Any, seed: int = 0, matrices: float = 0, vectors: float = 0, flush: float = 0, clip: float = 0, to: str = ""
) -> Any:
    import torch

    if not tensor.is_floating_point():
        return tensor
    if to:
        return tensor.to(getattr(torch, to)).to(tensor.dtype)
    generator = torch.Generator(device=tensor.device).manual_seed(1000 * seed + tensor.numel() % 997)
    noise = matrices if tensor.ndim > 1 else vectors
    value = (
        tensor * (1 + noise * torch.randn(tensor.shape, generator=generator, device=tensor.device)) if noise else tensor
    )
    if tensor.ndim > 1 and flush:
        rms = tensor.float().square().mean().sqrt()
        value = torch.where(tensor.abs() < flush * rms, 0.0, value).clamp(-clip * rms, clip * rms)
    return value


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--write", folder, *wanted]:
            write(Path(folder), wanted)
        case ["--measure", folder, corpus]:
            measure(Path(folder), Path(corpus))
        case [folder, corpus]:
            main(Path(folder), Path(corpus))
        case _:
            sys.exit(__doc__)
