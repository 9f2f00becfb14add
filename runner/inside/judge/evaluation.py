"""Score a checkpoint and audit the answers: the whole of an evaluation, from settings to its report."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from runner.inside.faults import AgentFault, SetupFault, UnheardFault
from runner.inside.judge.audits import audit_claims, audit_scorers
from runner.inside.judge.certificate import SPREADS, Certificate, Exam, Losses, certify, draw, sit
from runner.inside.judge.checkpoint import open_checkpoint
from runner.inside.judge.finding import certificate_audit, size_audit
from runner.inside.judge.harness import check_items, run_tasks
from runner.inside.judge.language import (
    heldout_blocks,
    last_word_perplexity,
    mean_loss,
    read_texts,
    read_tokens,
    word_perplexity,
)
from runner.inside.judge.passage_scorer import PassageScorer, PassageSet
from runner.inside.judge.predictions import questions
from runner.inside.judge.reduction import reduced
from runner.inside.judge.reference import ReferenceModel, read_reference, reference_losses
from runner.inside.judge.report import EvaluationReport
from runner.inside.judge.tokenizer import load_tokenizer
from runner.inside.judge.workers import Workers, assembled
from runner.inside.names import LANGUAGE_MODELLING
from runner.inside.settings import EvaluationSettings

CANARY_TOKENS = 8192
"""About how many random tokens ride along with each metric."""
PREDICTED = ("lambada_ppl",)
"""Metrics of which nothing is claimed: every token is predicted before any process of the evaluation is shown it."""
CERTIFIED = "val_loss"
"""The metric that an exam certifies."""


def evaluate(what: str, settings: EvaluationSettings) -> EvaluationReport:
    """Score and audit one checkpoint; `what` is LANGUAGE_MODELLING or LM_EVAL.

    Raises AgentFault while the agent's code has seen no evaluation data, UnheardFault afterwards, and SetupFault.
    """
    started = time.monotonic()
    checkpoint = open_checkpoint(settings.checkpoint)
    size = size_audit(checkpoint.parameters, settings.max_parameters)
    if not size.passed:
        return EvaluationReport(checkpoint, {}, [size], read=False)
    print(f"{what}: {settings.checkpoint.name} with {checkpoint.parameters:,} parameters on {settings.model.device}")
    language_modelling = what == LANGUAGE_MODELLING
    score = _language_modelling(settings) if language_modelling else _lm_eval(settings)
    # Fresh entropy: places that the agent's code could foresee would be no check.
    rng = np.random.default_rng()
    exam = _read_exam(settings, rng) if language_modelling else None
    model, weights = settings.model, reduced(checkpoint)
    with assembled(settings, weights) as workers:
        loaded = time.monotonic()
        try:
            canaries = max(1, CANARY_TOKENS // model.block_size)
            scorer = PassageScorer(workers, model.block_size, model.vocab_size, rng, canaries)
            if exam is not None:
                workers.also_shown = [one.shape for one in questions(exam.text.prefixes, model.block_size, rng)]
            metrics, counts = score(scorer)
            scored = time.monotonic()
            of_scorers = audit_scorers(scorer, model, rng)
            auditor = workers.auditor()
            losses = None if exam is None else sit(exam.text, auditor, model.block_size, rng)
            examined = time.monotonic()
            audits = [size, *audit_claims(scorer, auditor, model, rng), *of_scorers]
        except AgentFault as fault:
            if workers.heard:
                raise
            raise UnheardFault(fault) from fault
        certificate = None
        if exam is not None and losses is not None:
            certificate = exam.certificate(metrics[CERTIFIED], losses, workers, counts, model.block_size)
            audits.append(certificate_audit(certificate))
    seconds = {
        "loading_s": loaded - started,
        "scoring_s": scored - loaded,
        "exam_s": examined - scored,
        "audits_s": time.monotonic() - examined,
    }
    details = {**counts, **{name: round(s, 1) for name, s in seconds.items()}}
    return EvaluationReport(checkpoint, metrics, audits, details, certificate)


@dataclass(frozen=True)
class _SetExam:
    """An exam as it is set, and what is known of the reference."""

    text: Exam
    reference: ReferenceModel | None
    tokenizer: str

    def certificate(
        self,
        claimed: float,
        losses: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
        workers: Workers,
        counts: dict[str, int],
        block_size: int,
    ) -> Certificate:
        """What the claim is worth. The auditor among the workers is gone afterwards. Raises SetupFault."""
        beside = None
        if self.reference is not None:
            worker = workers.reference(self.reference.weights)
            beside = Losses(self.reference.heldout_loss, reference_losses(self.text, worker))
        tokens = counts["val_tokens"]
        return certify(
            claimed,
            tokens=tokens,
            passages=tokens // block_size,
            losses=losses,
            spread=SPREADS[self.tokenizer],
            reference=beside,
        )


def _read_exam(settings: EvaluationSettings, rng: np.random.Generator) -> _SetExam | None:
    if settings.exam is None:
        print("no certificate: there is no text for an exam")
        return None
    tokens = read_tokens(settings.exam, settings.model.vocab_size)
    reference = None if settings.reference_dir is None else read_reference(settings.reference_dir)
    try:
        text = draw(tokens, settings.model.block_size, settings.certificate_tokens, rng)
    except ValueError as error:
        raise SetupFault(str(settings.exam), str(error)) from None
    return _SetExam(text, reference, settings.tokenizer)


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
        return {
            one.metric: one.value(scores) for one, scores in zip(measured, scorer.score(*sets), strict=True)
        }, counts

    return score


def _lm_eval(settings: EvaluationSettings) -> Scoring:
    tokenizer = load_tokenizer(settings.tokenizer, settings.data_dir)
    check_items(settings.data_dir)

    def score(scorer: PassageScorer) -> tuple[dict[str, float], dict[str, int]]:
        metrics, items = run_tasks(
            scorer, tokenizer, settings.model.block_size, settings.data_dir, settings.audit_samples
        )
        return metrics, {f"{name}_items": count for name, count in items.items()}

    return score
