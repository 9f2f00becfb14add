"""Downstream tasks through the real lm-evaluation-harness (EleutherAI), zero-shot, on local files, without network."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runner.inside.faults import SetupFault
from runner.inside.judge.passage_scorer import PassageScorer
from runner.inside.judge.tokenizer import Tokenizer


@dataclass(frozen=True)
class HarnessTask:
    """A task definition the harness ships, and which of its metrics we report."""

    name: str
    definition: str
    """YAML file within `lm_eval/tasks`."""
    metric: str


TASKS = (
    HarnessTask("arc_easy", "arc/arc_easy.yaml", "acc,none"),
    HarnessTask("hellaswag", "hellaswag/hellaswag.yaml", "acc_norm,none"),
    HarnessTask("piqa", "piqa/piqa.yaml", "acc,none"),
    HarnessTask("winogrande", "winogrande/default.yaml", "acc,none"),
)


def check_items(data_dir: Path) -> None:
    """Raises SetupFault when a task's items are missing."""
    for task in TASKS:
        if not (data_dir / f"{task.name}.jsonl").is_file():
            raise SetupFault("EVAL_DATA_DIR", f"{task.name}.jsonl is missing in {data_dir}")


def run_tasks(
    scorer: PassageScorer, tokenizer: Tokenizer, block_size: int, data_dir: Path, samples: int
) -> tuple[dict[str, float], dict[str, int]]:
    """Accuracy in percent and number of items per task, from `<task>.jsonl` in `data_dir`.

    At most `samples` claims are audited of each task. The items have the fields of the data sets that the
    harness's own task definitions name. Raises AgentFault.
    """
    with tempfile.TemporaryDirectory() as scratch:
        os.environ.update(_quiet_and_offline(scratch))  # read by the harness's libraries as they are imported
        from lm_eval import tasks as packaged
        from lm_eval.evaluator import evaluate

        from runner.inside.judge.harness_model import WorkerLM

        definitions = Path(scratch, "definitions")
        definitions.mkdir()
        for task in TASKS:
            local = _local_definition(task, Path(packaged.__file__).parent, data_dir)
            (definitions / f"{task.name}.yaml").write_text(json.dumps(local))  # JSON is YAML
        manager = packaged.TaskManager(include_path=str(definitions), include_defaults=False)
        found = evaluate(
            WorkerLM(scorer, tokenizer, block_size, samples),
            manager.load([task.name for task in TASKS]),
            bootstrap_iters=0,
            log_samples=False,
        )
    metrics = {task.name: round(100 * float(found["results"][task.name][task.metric]), 4) for task in TASKS}
    return metrics, {task.name: int(found["n-samples"][task.name]["effective"]) for task in TASKS}


def _local_definition(task: HarnessTask, packaged: Path, data_dir: Path) -> Mapping[str, object]:
    """The packaged definition, its data set replaced by a local file."""
    return {
        "include": str(packaged / task.definition),
        "task": task.name,
        "dataset_path": "json",
        "dataset_name": None,
        "dataset_kwargs": {"data_files": {"test": str(data_dir.absolute() / f"{task.name}.jsonl")}},
        "training_split": None,
        "validation_split": None,
        "test_split": "test",
        "num_fewshot": 0,
    }


def _quiet_and_offline(scratch: str) -> Mapping[str, str]:
    return {
        "HF_HOME": scratch,
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "TQDM_DISABLE": "1",
        "LMEVAL_LOG_LEVEL": "ERROR",
    }
