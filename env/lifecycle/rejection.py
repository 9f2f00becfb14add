"""A rejected run in words for its agent: which audits it did not pass, where, by how much, and what they ask for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from env.lifecycle.report import cut, in_figures
from env.store.evaluation import StoredAudit
from env.store.model import Run
from runner.inside.complaints import SENTENCES, complaint

_EXPLANATIONS = {
    "parameters": "All tensors of the checkpoint count, persistent buffers too, tied ones once.",
    "normalisation": "At every position the model's answer must be one probability distribution over the whole "
    "vocabulary: finite, and adding up to 1.",
    "bias": "What the model claims for the tokens that do come must be what it expects of them without seeing them.",
    "canary": "Nobody can predict random tokens: a model that seems to has seen them, or its claims are no "
    "probabilities.",
}
"""What the complaints of these audits leave open; those of the other audits say it all."""


def rejection(run: Run) -> Iterator[str]:
    """The headline, a line for each further audit, and then what those audits ask for."""
    failed = () if run.evaluation is None else run.evaluation.failed
    names = tuple(dict.fromkeys(audit.name for audit in failed))
    first, *more = _complaints(failed, run.reason)
    named = first.split(":")[0]
    yield f"[REJECTED {first}]" if not names or named in names else f"[REJECTED {', '.join(names)}: {first}]"
    yield from more
    yield from (_EXPLANATIONS[name] for name in names or (named,) if name in _EXPLANATIONS)


def _complaints(failed: Sequence[StoredAudit], reason: str) -> list[str]:
    """The complaints of the audits, a line each; the reason as one line where they cannot be told apart."""
    told = [audit.complaint for audit in failed if audit.complaint]
    if told or len(failed) < 2:
        return told or [reason]
    # Audits that were stored before they kept their complaints are worded again, as their evaluator did.
    for worded in (cut([_again(audit) for audit in failed]), [in_figures(audit) for audit in failed]):
        if "; ".join(filter(None, worded)) == reason:
            return [line for line in worded if line]
    return [reason]


def _again(audit: StoredAudit) -> str:
    """The complaint in the evaluator's words; empty for an audit that is none of its own."""
    if audit.name not in SENTENCES or audit.figure is None or audit.limit is None:
        return ""
    return complaint(audit.name, figure=audit.figure, limit=audit.limit, where=audit.where)
