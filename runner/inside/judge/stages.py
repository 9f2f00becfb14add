"""What each kind of evaluation measures, on which texts, and which exams its claims are held against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from runner.inside.faults import SetupFault
from runner.inside.judge.exam import Exam, draw
from runner.inside.judge.harness import check_items, run_tasks
from runner.inside.judge.language import (
    Measurement,
    heldout_blocks,
    last_word_perplexity,
    mean_loss,
    read_texts,
    read_tokens,
    word_perplexity,
)
from runner.inside.judge.passage_scorer import PassageScorer, PassageSet
from runner.inside.judge.places import Places, every_place, sampled_places, spread_places
from runner.inside.judge.telling import loss_step, told_metric
from runner.inside.judge.tokenizer import Tokenizer, load_tokenizer
from runner.inside.settings import EvaluationSettings

CERTIFIED = "val_loss"
"""The metric whose certificate stands in the row."""
PREDICTED = ("lambada_ppl",)
"""Metrics of which nothing is claimed: every token is predicted before any process of the evaluation is shown it."""
SHARE = 4
"""One metric's exam predicts so many times fewer tokens than that of CERTIFIED, if it is not its only one."""
IN_A_DOCUMENT = 16
"""Tokens of a document that are predicted, where the documents of an exam are new."""

Scoring = Callable[[PassageScorer], tuple[dict[str, float], dict[str, int]]]
"""Computes the metrics as they are told, and counts what they were measured on."""


@dataclass(frozen=True)
class EvaluationStage:
    """One kind of evaluation, its data read: what is wrong with it is not the model's fault."""

    score: Scoring
    exams: Sequence[Exam] = ()


def language_modelling(settings: EvaluationSettings, rng: np.random.Generator) -> EvaluationStage:
    """Losses and perplexities. Raises SetupFault."""
    tokenizer = load_tokenizer(settings.tokenizer, settings.data_dir)
    block_size = settings.model.block_size
    heldout = settings.data_dir / "heldout.bin"
    blocks = heldout_blocks(heldout, block_size, settings.model.vocab_size, settings.eval_tokens)
    wikitext2 = read_texts(settings.data_dir / "wikitext2.jsonl")
    lambada = read_texts(settings.data_dir / "lambada.jsonl")
    measured = [
        mean_loss(CERTIFIED, blocks),
        word_perplexity(tokenizer, wikitext2, block_size),
        last_word_perplexity(tokenizer, lambada, block_size),
    ]
    counts = {
        "val_tokens": len(blocks) * block_size,
        "wikitext2_documents": len(wikitext2),
        "wikitext2_words": sum(len(text.split()) for text in wikitext2),
        "lambada_passages": len(lambada),
    }

    def score(scorer: PassageScorer) -> tuple[dict[str, float], dict[str, int]]:
        sets = [
            PassageSet(one.metric, one.passages, settings.audit_samples, predicted=one.metric in PREDICTED)
            for one in measured
        ]
        scorer.score(*sets)
        metrics = {}
        for one in measured:
            step = loss_step(one, settings.tokenizer)
            metrics[one.metric] = told_metric(one, scorer.mean_losses[one.metric], step, settings.model.vocab_size)
        return metrics, counts

    return EvaluationStage(score, _exams(settings, tokenizer, measured, rng))


def lm_eval(settings: EvaluationSettings) -> EvaluationStage:
    """Accuracies of downstream tasks. Raises SetupFault."""
    tokenizer = load_tokenizer(settings.tokenizer, settings.data_dir)
    check_items(settings.data_dir)

    def score(scorer: PassageScorer) -> tuple[dict[str, float], dict[str, int]]:
        metrics, items = run_tasks(
            scorer, tokenizer, settings.model.block_size, settings.data_dir, settings.audit_samples
        )
        return metrics, {f"{name}_items": count for name, count in items.items()}

    return EvaluationStage(score)


def _exams(
    settings: EvaluationSettings, tokenizer: Tokenizer, measured: Sequence[Measurement], rng: np.random.Generator
) -> list[Exam]:
    """In an order in which none shows another's text: what is public first, what is new last."""
    block_size, wanted = settings.model.block_size, settings.certificate_tokens // SHARE
    places: dict[str, Places] = {}
    unseen = settings.exam_dir
    passages = {one.metric: one.passages for one in measured}
    if unseen is not None and (unseen / "wikitext2.jsonl").exists():
        texts = read_texts(unseen / "wikitext2.jsonl")[: max(2, wanted // IN_A_DOCUMENT)]
        fresh = word_perplexity(tokenizer, texts, block_size)
        places[fresh.metric] = spread_places(fresh.passages, wanted, rng)
    else:
        places["wikitext2_ppl"] = sampled_places(passages["wikitext2_ppl"], wanted, rng)
    if unseen is not None and (unseen / "lambada.jsonl").exists():
        fresh = last_word_perplexity(tokenizer, read_texts(unseen / "lambada.jsonl"), block_size)
        places[fresh.metric] = every_place(fresh.passages)
    if unseen is None:
        print("no certificate of val_loss: there is no text for an exam")
    else:
        file = unseen / "exam.bin"
        try:
            places[CERTIFIED] = draw(
                read_tokens(file, settings.model.vocab_size), block_size, settings.certificate_tokens, rng
            )
        except ValueError as error:
            raise SetupFault(str(file), str(error)) from None
    return [
        Exam(metric=metric, claimed=passages[metric], places=of_metric, tokenizer=settings.tokenizer)
        for metric, of_metric in places.items()
    ]
