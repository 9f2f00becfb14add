"""Score a checkpoint without trusting the code that made it.

`python -P -m runner.inside.evaluate language-modelling|lm-eval`, with the settings of `settings.py` in the environment,
in a sandbox that holds nothing of the agent's but the checkpoint. Its model workers run in sandboxes of their own
(`worker.py`) and are asked for log-probabilities. Writes OUT_DIR/metrics.json. Exit status: 0 with a report, also when
an audit failed and the report says so; 1 when the agent's model cannot be scored, with one line on standard error that
says why; 2 when settings, data or this program are at fault.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable

import numpy as np

from runner.inside.audits import Audit, audit
from runner.inside.checkpoint import open_checkpoint
from runner.inside.faults import exit_status
from runner.inside.harness import check_items, run_tasks
from runner.inside.language import heldout_blocks, last_word_perplexity, mean_loss, read_texts, word_perplexity
from runner.inside.panel import assembled
from runner.inside.report import Report, write_report
from runner.inside.samples import PassageScorer
from runner.inside.settings import Settings, read_settings
from runner.inside.tokens import load_tokenizer

CANARY_TOKENS = 8192
"""Random tokens that ride along with each metric, about."""


def main(arguments: list[str] | None = None) -> int:
    """The command. Returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -P -m runner.inside.evaluate")
    parser.add_argument("what", choices=["language-modelling", "lm-eval"])
    what = parser.parse_args(arguments).what
    return exit_status(lambda: _score(what))


def _score(what: str) -> None:
    settings = read_settings(os.environ)
    report = evaluate(what, settings)
    write_report(report, settings.out_dir)
    for name, value in report.metrics.items():
        print(f"{name} = {value:.6g}")
    if report.rejected:
        print(f"rejected: {report.rejected}")


def evaluate(what: str, settings: Settings) -> Report:
    """The report of `language-modelling` or `lm-eval`. Raises AgentFault or SetupFault."""
    started = time.monotonic()
    checkpoint = open_checkpoint(settings.checkpoint)
    size = Audit("parameters", checkpoint.parameters, settings.max_parameters, "parameters", 1)
    if not size.passed:
        return Report(checkpoint, {}, [size])
    print(f"{what}: {settings.checkpoint.name} with {checkpoint.parameters:,} parameters on {settings.model.device}")
    score = _language_modelling(settings) if what == "language-modelling" else _lm_eval(settings)
    # Fresh entropy: places that the agent's code could foresee would be no check.
    rng = np.random.default_rng()
    with assembled(settings, checkpoint.weights) as panel:
        loaded = time.monotonic()
        canaries = max(1, CANARY_TOKENS // settings.model.block_size)
        scorer = PassageScorer(panel, settings.model.vocab_size, rng, settings.audit_samples, canaries)
        metrics, counts = score(scorer)
        scored = time.monotonic()
        audits = [size, *audit(scorer, panel, settings.model, rng)]
    seconds = {
        "loading_s": loaded - started,
        "scoring_s": scored - loaded,
        "audits_s": time.monotonic() - scored,
    }
    return Report(checkpoint, metrics, audits, {**counts, **{name: round(s, 3) for name, s in seconds.items()}})


Scoring = Callable[[PassageScorer], tuple[dict[str, float], dict[str, int]]]
"""Metrics, and how much they were measured on."""


def _language_modelling(settings: Settings) -> Scoring:
    """The data is read first: what is wrong with it is not the model's fault."""
    tokenizer = load_tokenizer(settings.tokenizer, settings.data_dir)
    block_size = settings.model.block_size
    heldout = settings.data_dir / "heldout.bin"
    blocks = heldout_blocks(heldout, block_size, settings.model.vocab_size, settings.eval_tokens)
    wikitext2 = read_texts(settings.data_dir / "wikitext2.jsonl")
    lambada = read_texts(settings.data_dir / "lambada.jsonl")
    counts = {
        "val_tokens": len(blocks) * block_size,
        "wikitext2_documents": len(wikitext2),
        "wikitext2_words": sum(len(text.split()) for text in wikitext2),
        "lambada_passages": len(lambada),
    }

    def score(scorer: PassageScorer) -> tuple[dict[str, float], dict[str, int]]:
        metrics = {
            "val_loss": mean_loss(scorer, "val_loss", blocks),
            "wikitext2_ppl": word_perplexity(scorer, tokenizer, wikitext2, block_size),
            "lambada_ppl": last_word_perplexity(scorer, tokenizer, lambada, block_size),
        }
        return metrics, counts

    return score


def _lm_eval(settings: Settings) -> Scoring:
    tokenizer = load_tokenizer(settings.tokenizer, settings.data_dir)
    check_items(settings.data_dir)

    def score(scorer: PassageScorer) -> tuple[dict[str, float], dict[str, int]]:
        metrics, items = run_tasks(scorer, tokenizer, settings.model.block_size, settings.data_dir)
        return metrics, {f"{name}_items": count for name, count in items.items()}

    return score


if __name__ == "__main__":
    sys.exit(main())
