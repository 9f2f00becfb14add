"""A rejected run in words for its agent: which audits it did not pass, where, by how much, and what they demand."""

from __future__ import annotations

import re
from collections.abc import Iterator

from env.store.model import Run

_DEMANDS = {
    "parameters": "All tensors of the checkpoint count, persistent buffers too, tied ones once.",
    "normalisation": "At every position the model's answer must be one probability distribution over the whole "
    "vocabulary: finite, and adding up to 1.",
    "bias": "What the model claims for the tokens that do come must be what it expects of them without seeing them.",
    "canary": "Nobody can predict random tokens: a model that seems to has seen them, or its claims are no "
    "probabilities.",
}
"""What the evaluator's own words leave open; of the other audits they say it all."""


def rejection(run: Run) -> Iterator[str]:
    """The headline, a line for each further audit, and then what those audits demand."""
    failed = tuple(dict.fromkeys(audit.name for audit in run.evaluation.failed)) if run.evaluation is not None else ()
    boundary = "|".join(map(re.escape, failed))
    first, *more = re.split(rf"; (?=(?:{boundary}): )", run.reason) if failed else [run.reason]
    named = first.split(":")[0]
    yield f"[REJECTED {first}]" if not failed or named in failed else f"[REJECTED {', '.join(failed)}: {first}]"
    yield from more
    yield from (_DEMANDS[name] for name in failed or (named,) if name in _DEMANDS)
