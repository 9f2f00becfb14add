"""What each audit demands of a model, in a sentence for the agent whose model did not pass."""

from __future__ import annotations

from collections.abc import Iterator

from env.session import Run

_DEMANDS = {
    "parameters": "A checkpoint may hold no more numbers than the task's cap, all tensors that are saved counted, tied "
    "ones once.",
    "normalisation": "At every position the model's answer must be one probability distribution over the whole "
    "vocabulary: finite, and adding up to 1.",
    "commitment": "What the model expects at a position must follow from the tokens up to it alone, in any batch and "
    "at any time: the value it claims for a token must be the one in the distribution it gives without seeing what "
    "comes next.",
    "bias": "The values the model claims for the tokens that do come next must not be better on average than its own "
    "distributions say.",
    "drift": "Asked the same tokens again at the end, the model must answer as it did at the beginning: it may keep "
    "nothing from one request to the next.",
    "canary": "Nobody can predict random tokens: a mean loss below ln V on them means that the model saw them.",
    "causality": "What the model expects at a position must not depend on later tokens.",
}


def rejection(run: Run) -> Iterator[str]:
    """The lines on a rejected run: which audit, where and by how much; then what that audit demands."""
    failed = [audit.name for audit in run.evaluation.failed] if run.evaluation is not None else []
    named = run.reason.split(":")[0]
    if failed and named not in failed:
        yield f"[REJECTED {', '.join(failed)}: {run.reason}]"
    else:
        yield f"[REJECTED {run.reason}]"
    yield from (_DEMANDS[name] for name in dict.fromkeys(failed or [named]) if name in _DEMANDS)
