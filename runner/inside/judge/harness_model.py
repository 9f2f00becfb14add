"""A model worker as the lm-evaluation-harness sees a model."""

from __future__ import annotations

from typing import Any

from lm_eval.api.model import TemplateLM

from runner.inside.judge.language import truncated
from runner.inside.judge.passage_scorer import PassageScorer, PassageSet
from runner.inside.judge.tokenizer import Tokenizer

METRIC = "lm-eval"
"""The metric that its samples are listed under in the audits: the harness asks for all tasks at once."""


class WorkerLM(TemplateLM):  # type: ignore[misc]  # the harness ships no types
    """Answers questions for log-likelihoods and no others: nothing that generates text is among our tasks."""

    def __init__(self, scorer: PassageScorer, tokenizer: Tokenizer, block_size: int, samples: int) -> None:
        super().__init__()
        self._samples = samples
        self._scorer = scorer
        self._tokenizer = tokenizer
        self._block_size = block_size

    @property
    def eot_token_id(self) -> int:
        """The token between documents, which the harness also takes for the prefix token."""
        return self._tokenizer.prefix_token

    def tok_encode(self, string: str, **_: Any) -> list[int]:
        """The ids of a text's tokens; there are no special ones to add."""
        return self._tokenizer.encode(string)

    def loglikelihood(self, requests: list[Any], **_: Any) -> list[tuple[float, bool]]:
        """The harness's own method, without its progress bar."""
        answers: list[tuple[float, bool]] = super().loglikelihood(requests, disable_tqdm=True)
        return answers

    def _loglikelihood_tokens(self, requests: list[Any], **_: Any) -> list[tuple[float, bool]]:
        """For each (texts, context ids, continuation ids): the continuation's log-probability, whether it is greedy."""
        passages = [truncated(context, continuation, self._block_size) for _, context, continuation in requests]
        (scores,) = self._scorer.score(PassageSet(METRIC, passages, self._samples))
        return [(score.logprob, score.greedy) for score in scores]

    def loglikelihood_rolling(self, requests: list[Any], **_: Any) -> list[float]:
        raise NotImplementedError("no task of ours scores whole texts")

    def generate_until(self, requests: list[Any], **_: Any) -> list[str]:
        raise NotImplementedError("no task of ours generates text")
