"""Score a checkpoint and audit the answers: the whole of an evaluation, from settings to its report."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from runner.inside.judge.audits import audit, size_audit
from runner.inside.judge.checkpoint import open_checkpoint
from runner.inside.judge.harness import check_items, run_tasks
from runner.inside.judge.language import heldout_blocks, last_word_perplexity, mean_loss, read_texts, word_perplexity
from runner.inside.judge.passage_scorer import PassageScorer
from runner.inside.judge.report import EvaluationReport
from runner.inside.judge.tokenizer import load_tokenizer
from runner.inside.judge.workers import assembled
from runner.inside.names import LANGUAGE_MODELLING
from runner.inside.settings import EvaluationSettings

CANARY_TOKENS = 8192
"""About how many random tokens ride along with each metric."""


def evaluate(what: str, settings: EvaluationSettings) -> EvaluationReport:
    """Score and audit one checkpoint; `what` is LANGUAGE_MODELLING or LM_EVAL. Raises AgentFault or SetupFault."""
    started = time.monotonic()
    checkpoint = open_checkpoint(settings.checkpoint)
    size = size_audit(checkpoint.parameters, settings.max_parameters)
    if not size.passed:
        return EvaluationReport(checkpoint, {}, [size])
    print(f"{what}: {settings.checkpoint.name} with {checkpoint.parameters:,} parameters on {settings.model.device}")
    score = _language_modelling(settings) if what == LANGUAGE_MODELLING else _lm_eval(settings)
    # Fresh entropy: places that the agent's code could foresee would be no check.
    rng = np.random.default_rng()
    with assembled(settings, checkpoint.weights) as workers:
        loaded = time.monotonic()
        canaries = max(1, CANARY_TOKENS // settings.model.block_size)
        scorer = PassageScorer(
            workers, settings.model.vocab_size, rng, samples=settings.audit_samples, canaries=canaries
        )
        metrics, counts = score(scorer)
        scored = time.monotonic()
        audits = [size, *audit(scorer, workers, settings.model, rng)]
    seconds = {
        "loading_s": loaded - started,
        "scoring_s": scored - loaded,
        "audits_s": time.monotonic() - scored,
    }
    return EvaluationReport(
        checkpoint, metrics, audits, {**counts, **{name: round(s, 3) for name, s in seconds.items()}}
    )


Scoring = Callable[[PassageScorer], tuple[dict[str, float], dict[str, int]]]
"""Computes the metrics, and counts what they were measured on."""


def _language_modelling(settings: EvaluationSettings) -> Scoring:
    """Losses and perplexities. The data is read first: what is wrong with it is not the model's fault."""
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


def _lm_eval(settings: EvaluationSettings) -> Scoring:
    tokenizer = load_tokenizer(settings.tokenizer, settings.data_dir)
    check_items(settings.data_dir)

    def score(scorer: PassageScorer) -> tuple[dict[str, float], dict[str, int]]:
        metrics, items = run_tasks(scorer, tokenizer, settings.model.block_size, settings.data_dir)
        return metrics, {f"{name}_items": count for name, count in items.items()}

    return score
