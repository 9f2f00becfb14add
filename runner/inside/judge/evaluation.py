"""Score a checkpoint and audit the answers: the whole of an evaluation, from settings to its report."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from runner.inside.faults import AgentFault, UnheardFault
from runner.inside.judge.audits import audit_claims, audit_scorers
from runner.inside.judge.certificate import Certificate, Losses
from runner.inside.judge.checkpoint import open_checkpoint
from runner.inside.judge.exam import Exam
from runner.inside.judge.finding import certificate_audit, size_audit
from runner.inside.judge.passage_scorer import PassageScorer
from runner.inside.judge.reduction import reduced
from runner.inside.judge.reference import ReferenceModel, read_reference
from runner.inside.judge.report import EvaluationReport
from runner.inside.judge.stages import CERTIFIED, language_modelling, lm_eval
from runner.inside.judge.workers import Workers, assembled
from runner.inside.names import LANGUAGE_MODELLING
from runner.inside.settings import EvaluationSettings

CANARY_TOKENS = 8192
"""About how many random tokens ride along with each metric."""


def evaluate(what: str, settings: EvaluationSettings) -> EvaluationReport:
    """Score and audit one checkpoint; `what` is LANGUAGE_MODELLING or LM_EVAL.

    Raises AgentFault while the agent's code has seen no evaluation data, UnheardFault afterwards, and SetupFault.
    """
    try:
        return _evaluated(what, settings)
    except AgentFault as fault:
        if what == LANGUAGE_MODELLING:
            raise
        # An earlier stage of the test has shown the code evaluation data, and processes of one host can whisper.
        raise UnheardFault(fault) from fault


def _evaluated(what: str, settings: EvaluationSettings) -> EvaluationReport:
    started = time.monotonic()
    checkpoint = open_checkpoint(settings.checkpoint)
    size = size_audit(checkpoint.parameters, settings.max_parameters)
    if not size.passed:
        return EvaluationReport(checkpoint, {}, [size], read=False)
    print(f"{what}: {settings.checkpoint.name} with {checkpoint.parameters:,} parameters on {settings.model.device}")
    # Fresh entropy: places that the agent's code could foresee would be no check.
    rng = np.random.default_rng()
    stage = language_modelling(settings, rng) if what == LANGUAGE_MODELLING else lm_eval(settings)
    reference = None if settings.reference_dir is None else read_reference(settings.reference_dir)
    model, weights = settings.model, reduced(checkpoint)
    with assembled(settings, weights) as workers:
        loaded = time.monotonic()
        asked_for_growth = settings.cost_growth and what == LANGUAGE_MODELLING
        growth = workers.cost_growth(model, rng) if asked_for_growth else None
        counted = time.monotonic()
        try:
            scorer = PassageScorer(
                workers,
                model.block_size,
                model.vocab_size,
                rng,
                canaries=max(1, CANARY_TOKENS // model.block_size),
                exams=[exam.places for exam in stage.exams],
            )
            metrics, counts = stage.score(scorer)
            scored = time.monotonic()
            of_scorers = audit_scorers(scorer, model, rng)
            audits = [size, *audit_claims(scorer, workers.auditor(), model, rng), *of_scorers]
            audited = time.monotonic()
        except AgentFault as fault:
            if workers.heard:
                raise
            raise UnheardFault(fault) from fault
        certificates = _certificates(stage.exams, scorer, workers, reference, model.block_size)
    audits += [certificate_audit(metric, certificate) for metric, certificate in certificates.items()]
    seconds = {
        "loading_s": loaded - started,
        **({"cost_growth_s": counted - loaded} if asked_for_growth else {}),
        "scoring_s": scored - counted - scorer.predicting_s,
        "exam_s": scorer.predicting_s,
        "audits_s": audited - scored,
        "reference_s": time.monotonic() - audited,
    }
    details = {**counts, **{name: float(round(s)) for name, s in seconds.items()}}
    return EvaluationReport(
        checkpoint, metrics, audits, details, certificates.get(CERTIFIED), scorer.mean_losses, cost_growth=growth
    )


def _certificates(
    exams: Sequence[Exam],
    scorer: PassageScorer,
    workers: Workers,
    reference: ReferenceModel | None,
    block_size: int,
) -> dict[str, Certificate]:
    """By metric, what its claim is worth. The auditor among the workers is gone afterwards. Raises SetupFault."""
    beside: list[Losses | None] = [None] * len(exams)
    if reference is not None:
        worker = workers.reference(reference.weights)
        known = {CERTIFIED: reference.heldout_loss}
        beside = [exam.reference_losses(known.get(exam.metric), worker, block_size) for exam in exams]
    return {
        exam.metric: exam.certificate(scorer.mean_losses[exam.metric], sat.logprobs, losses)
        for exam, sat, losses in zip(exams, scorer.sat, beside, strict=True)
    }
