"""What audits and certificate find in honest models at `gpt-345m` shape, and how long an evaluation takes.

Usage: calibrate.py --write OUT VARIANT… lays a script for each variant (`TASK[:BASELINE]`) into OUT, where this package
is installed; calibrate.py OUT DATA then trains each for ITERATIONS, one per GPU at a time, and evaluates its checkpoint
with the evaluator and workers as plain processes: two scorers on the first and last GPU, then the auditor. The first
variant, which has to be an unedited script, is the reference of all. Prints one JSON line per variant. For hosts with
GPUs (GPUS=0,1 names them), torch, tiktoken and safetensors; DATA as `corpus.py` makes it.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from runner.inside.names import DISMISSED, EVALUATE, GONE, LANGUAGE_MODELLING, REFERENCE, WORKER, worker_names

ITERATIONS = int(os.environ.get("ITERATIONS", "120"))
BATCH = int(os.environ.get("BATCH", "16"))
SCALE = "gpt-345m"
SETTINGS = ("EVAL_TOKENS", "AUDIT_SAMPLES", "CERTIFICATE_TOKENS")
"""Settings of the scale that the environment may set otherwise."""


def write(out: Path, variants: list[str]) -> None:
    from env.document.baselines import baseline_document
    from tasks.load import load_tasks

    tasks = load_tasks()
    for number, variant in enumerate(variants):
        task_name, _, baseline_name = variant.partition(":")
        task = tasks[f"llm-pretrain-{task_name}"]
        baseline = next((one for one in task.baselines if one.name == baseline_name), None)
        folder = out / f"{number:02d}-{variant.replace(':', '-')}"
        (folder / "work").mkdir(parents=True, exist_ok=True)
        text = task.text if baseline is None else baseline_document(task, baseline).text
        (folder / "work" / "custom.py").write_text(text)
        scale = task.scales[SCALE]
        env = {**scale.settings, "MAX_PARAMETERS": str(scale.max_parameters), "SCRIPT": "custom.py"}
        (folder / "env.json").write_text(json.dumps(env))


def main(out: Path, data: Path) -> None:
    folders = sorted(path.parent for path in out.glob("*/env.json"))
    gpus = os.environ.get("GPUS", "0,1").split(",")

    def trained(job: tuple[int, Path]) -> None:
        number, folder = job
        command = [sys.executable, __file__, "--train", str(folder), str(data)]
        subprocess.run(command, env={**os.environ, "CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]}, check=False)

    with ThreadPoolExecutor(len(gpus)) as pool:  # alternating: variants of similar cost stand side by side
        list(pool.map(trained, enumerate(folders)))
    first = folders[0]
    loss = evaluate(first, data, gpus, None)  # which nothing is compared with
    if math.isnan(loss):
        sys.exit("the reference was rejected, or not evaluated")
    (first / "reference.json").write_text(json.dumps({"heldout_loss": loss}))
    for folder in folders:
        if (folder / "model.safetensors").exists():
            evaluate(folder, data, gpus, first)


def train(folder: Path, data: Path) -> None:
    """A few iterations in this process; what they cost and how the loss fell."""
    import torch

    env = json.loads((folder / "env.json").read_text())
    spec = importlib.util.spec_from_file_location("custom", folder / "work" / "custom.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["custom"] = module
    spec.loader.exec_module(module)
    from safetensors.torch import save_model

    shape = {name: int(env[name.upper()]) for name in ("n_layer", "n_head", "n_embd", "block_size", "vocab_size")}
    torch.set_float32_matmul_precision("high")
    torch.manual_seed(42)
    device = torch.device("cuda")
    model = module.GPT(module.GPTConfig(**shape, dropout=0.0, bias=False)).to(device)
    optimizer = model.configure_optimizers(0.1, 6e-4, (0.9, 0.95), "cuda")
    rng = np.random.default_rng(42)
    losses, times = [], []
    for iteration in range(ITERATIONS):
        started = time.monotonic()
        x, y = module.get_batch(data / "fineweb10b/train/train.bin", BATCH, shape["block_size"], rng, device)
        with torch.autocast("cuda", torch.bfloat16):
            loss = model(x, y)[1]
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = group["lr"] if iteration > 20 else 6e-4 * (iteration + 1) / 21
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(float(loss))
        times.append(time.monotonic() - started)
    save_model(model, str(folder / "model.safetensors"))
    told = {
        "variant": folder.name,
        "losses": [round(losses[i], 3) for i in sorted({0, min(19, ITERATIONS - 1), ITERATIONS - 1})],
        "first_iteration_s": round(times[0], 2),
        "median_iteration_s": round(float(np.median(times[5:])), 4),
        "peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 1),
        "fla": any(name.startswith("fla.ops.") for name in sys.modules),
    }
    print("TRAINED", json.dumps(told), flush=True)


def evaluate(folder: Path, data: Path, gpus: list[str], reference: Path | None) -> float:
    """The held-out loss of a variant in nats per token; NaN where the evaluation found none."""
    env = json.loads((folder / "env.json").read_text())
    env |= {name: os.environ[name] for name in SETTINGS if name in os.environ}
    names = worker_names(scorers=2, reference=reference is not None)
    places = dict(zip(names, (gpus[0], gpus[0], gpus[-1], gpus[0]), strict=False))
    common = {**os.environ, "SCRIPT": "custom.py"}
    for name in ("out", "meet"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir()
    started = time.monotonic()
    workers = {}
    for name, gpu in places.items():
        place = folder / "meet" / name
        place.mkdir(exist_ok=True)
        workers[name] = subprocess.Popen(
            [sys.executable, *WORKER[1:]],
            cwd=(folder if reference is None or name != REFERENCE else reference) / "work",
            env={**common, "MEET_DIR": str(place), "CUDA_VISIBLE_DEVICES": gpu},
        )
    settings: dict[str, object] = {
        "INPUT_DIR": folder,
        "OUT_DIR": folder / "out",
        "MEET_DIR": folder / "meet",
        "SCORERS": "2",
    }
    settings |= {"EVAL_DATA_DIR": data / "fineweb10b/heldout", "REQUEST_TIMEOUT_S": "300"}
    if reference is not None:
        settings |= {"EXAM_DIR": data / "exam", "REFERENCE": "1", "REFERENCE_DIR": reference}
    over = threading.Event()
    runner = threading.Thread(target=dismiss, args=(folder / "meet", workers, over))
    runner.start()
    ended = subprocess.run(
        [sys.executable, *EVALUATE[1:], LANGUAGE_MODELLING],
        env={**os.environ, **env, **{name: str(value) for name, value in settings.items()}},
        check=False,
    )
    over.set()
    runner.join()
    for worker in workers.values():
        worker.kill()
    told = {
        "variant": folder.name,
        "certified": reference is not None,
        "exit": ended.returncode,
        "seconds": round(time.monotonic() - started, 1),
    }
    report = folder / "out" / "metrics.json"
    found = json.loads(report.read_text()) if report.exists() else {}
    if found:
        told |= {
            name: found[name]
            for name in ("metrics", "rejected", "parameters", "details", "certificate")
            if name in found
        }
        told["audits"] = [[a["name"], a["figure"], a["limit"], a["samples"], a["where"]] for a in found["audits"]]
    print("EVALUATED", json.dumps(told), flush=True)
    return float(found.get("metrics", {}).get("val_loss", "nan"))


def dismiss(meet: Path, workers: dict[str, subprocess.Popen[bytes]], over: threading.Event) -> None:
    """The runner's part in a rendezvous."""
    left = dict(workers)
    while not over.wait(0.02):
        for name in [name for name in left if (meet / name / DISMISSED).exists()]:
            worker = left.pop(name)
            worker.kill()
            worker.wait()
            (meet / name / GONE).touch()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--write", out, *variants]:
            write(Path(out), variants)
        case ["--train", folder, data]:
            train(Path(folder), Path(data))
        case [out, data]:
            main(Path(out).resolve(), Path(data).resolve())
        case _:
            sys.exit(__doc__)
