"""Score a checkpoint without trusting the code that made it.

`python -P -m runner.inside.evaluate language-modelling|lm-eval`, in a folder that holds the agent's script, with the
settings of `settings.py` in the environment. Writes OUT_DIR/metrics.json. Exit status: 0 with metrics; 1 when the
agent's model cannot be scored, with one line on standard error that says why; 2 when settings, data or this program
are at fault. The agent's code runs in a worker process only, which is asked for log-probabilities; -P keeps the folder
with the agent's files out of this process's imports.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np

from runner.inside.checkpoint import count_parameters
from runner.inside.client import ModelClient
from runner.inside.faults import SetupFault, exit_status
from runner.inside.harness import run_tasks
from runner.inside.language import heldout_blocks, last_word_perplexity, mean_loss, read_texts, word_perplexity
from runner.inside.report import Report, write_report
from runner.inside.sanity import SpotCheck
from runner.inside.sequences import PassageScorer
from runner.inside.settings import Settings, read_settings
from runner.inside.tokens import load_tokenizer


def main(arguments: list[str] | None = None) -> int:
    """The command. Returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -P -m runner.inside.evaluate")
    parser.add_argument("what", choices=["language-modelling", "lm-eval"])
    what = parser.parse_args(arguments).what
    return exit_status(lambda: _score(what))


def _score(what: str) -> None:
    settings = read_settings(os.environ, Path.cwd())
    report = evaluate(what, settings)
    write_report(report, settings.out_dir)
    for name, value in report.metrics.items():
        print(f"{name} = {value:.6g}")


def evaluate(what: str, settings: Settings) -> Report:
    """The report of `language-modelling` or `lm-eval`. Raises AgentFault or SetupFault."""
    started = time.monotonic()
    if not settings.script.is_file():
        raise SetupFault("SCRIPT", f"no file {settings.script.name} in the work folder")
    parameters = count_parameters(settings.checkpoint)
    print(f"{what}: {settings.checkpoint.name} with {parameters:,} parameters on {settings.model.device}")
    with ModelClient(settings) as client:
        # Fresh entropy: places that the agent's code could foresee would be no check.
        spot_check = SpotCheck(client, settings.model.dtype, np.random.default_rng())
        scorer = PassageScorer(client, spot_check)
        score = _language_modelling if what == "language-modelling" else _lm_eval
        metrics, details = score(scorer, settings)
    checks = {"distributions_checked": spot_check.checked, "largest_difference": spot_check.largest_difference}
    return Report(metrics, parameters, {**details, **checks, "seconds": round(time.monotonic() - started, 2)})


def _language_modelling(scorer: PassageScorer, settings: Settings) -> tuple[dict[str, float], dict[str, int]]:
    tokenizer = load_tokenizer(settings.tokenizer, settings.data_dir)
    block_size = settings.model.block_size
    heldout = settings.data_dir / "heldout.bin"
    blocks = heldout_blocks(heldout, block_size, settings.model.vocab_size, settings.eval_tokens)
    wikitext2 = read_texts(settings.data_dir / "wikitext2.jsonl")
    lambada = read_texts(settings.data_dir / "lambada.jsonl")
    metrics = {
        "val_loss": mean_loss(scorer, blocks),
        "wikitext2_ppl": word_perplexity(scorer, tokenizer, wikitext2, block_size),
        "lambada_ppl": last_word_perplexity(scorer, tokenizer, lambada, block_size),
    }
    details = {
        "val_tokens": len(blocks) * block_size,
        "wikitext2_documents": len(wikitext2),
        "wikitext2_words": sum(len(text.split()) for text in wikitext2),
        "lambada_passages": len(lambada),
    }
    return metrics, details


def _lm_eval(scorer: PassageScorer, settings: Settings) -> tuple[dict[str, float], dict[str, int]]:
    tokenizer = load_tokenizer(settings.tokenizer, settings.data_dir)
    metrics, items = run_tasks(scorer, tokenizer, settings.model.block_size, settings.data_dir)
    return metrics, {f"{name}_items": count for name, count in items.items()}


if __name__ == "__main__":
    sys.exit(main())
