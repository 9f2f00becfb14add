"""A model worker as the lm-evaluation-harness sees a model."""

from __future__ import annotations

from typing import Any

from lm_eval.api.model import TemplateLM

from runner.inside.judge.language import truncated
from runner.inside.judge.passage_scorer import PassageScorer, PassageSet
from runner.inside.judge.passages import Passage
from runner.inside.judge.tokenizer import Tokenizer


class WorkerLM(TemplateLM):  # type: ignore[misc]  # the harness ships no types
    """Answers questions for log-likelihoods and no others: nothing that generates text is among our tasks."""

    def __init__(self, scorer: PassageScorer, tokenizer: Tokenizer, block_size: int, samples: int) -> None:
        """`samples` claims are audited of each task: which of them is favoured is seen in the smallest as well."""
        super().__init__()
        self._samples = samples
        self._scorer = scorer
        self._tokenizer = tokenizer
        self._block_size = block_size
        self._asking: list[str] = []
        """The task of each request that is under way."""

    @property
    def eot_token_id(self) -> int:
        """The token between documents, which the harness also takes for the prefix token."""
        return self._tokenizer.prefix_token

    def tok_encode(self, string: str, **_: Any) -> list[int]:
        """The ids of a text's tokens; there are no special ones to add."""
        return self._tokenizer.encode(string)

    def loglikelihood(self, requests: list[Any], **_: Any) -> list[tuple[float, bool]]:
        """The harness's own method, without its progress bar: for all tasks at once."""
        self._asking = [str(request.task_name) for request in requests]
        answers: list[tuple[float, bool]] = super().loglikelihood(requests, disable_tqdm=True)
        return answers

    def _loglikelihood_tokens(self, requests: list[Any], **_: Any) -> list[tuple[float, bool]]:
        """For each (texts, context ids, continuation ids): the continuation's log-probability, whether it is greedy."""
        passages: dict[str, list[Passage]] = {}
        for task, (_texts, context, continuation) in zip(self._asking, requests, strict=True):
            passages.setdefault(task, []).append(truncated(context, continuation, self._block_size))
        sets = [PassageSet(task, of_task, self._samples) for task, of_task in passages.items()]
        scores = {task: iter(of_task) for task, of_task in zip(passages, self._scorer.score(*sets), strict=True)}
        return [(score.logprob, score.greedy) for score in (next(scores[task]) for task in self._asking)]

    def loglikelihood_rolling(self, requests: list[Any], **_: Any) -> list[float]:
        raise NotImplementedError("no task of ours scores whole texts")

    def generate_until(self, requests: list[Any], **_: Any) -> list[str]:
        raise NotImplementedError("no task of ours generates text")
