"""Language-modelling metrics of a checkpoint: held-out loss, word perplexity, last-word perplexity."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runner.inside.faults import SetupFault
from runner.inside.judge.passages import Passage
from runner.inside.judge.tokenizer import Tokenizer


@dataclass(frozen=True)
class Measurement:
    """A metric: what is asked for, and what follows from the answers."""

    metric: str
    passages: Sequence[Passage]
    value: Callable[[float], float]
    """From the mean loss in nats per scored token."""


def read_tokens(path: Path, vocab_size: int) -> NDArray[np.int32]:
    """A token file (uint16, little-endian). Raises SetupFault."""
    try:
        tokens = np.fromfile(path, dtype="<u2").astype(np.int32)
    except OSError as error:
        raise SetupFault(str(path), error.strerror or "cannot be read") from None
    if tokens.max(initial=0) >= vocab_size:
        raise SetupFault(str(path), f"holds token {tokens.max()}, outside a vocabulary of {vocab_size}")
    return tokens


def heldout_blocks(path: Path, block_size: int, vocab_size: int, limit: int | None) -> list[Passage]:
    """A token file (uint16, little-endian) as consecutive blocks of block_size + 1 tokens, the rest left out.

    At most `limit` tokens are scored, but always one block. Raises SetupFault.
    """
    tokens = read_tokens(path, vocab_size)
    count = len(tokens) // (block_size + 1)
    if limit is not None:
        count = min(count, max(1, limit // block_size))
    if count == 0:
        raise SetupFault(str(path), f"shorter than one block of {block_size + 1} tokens")
    blocks = tokens[: count * (block_size + 1)].reshape(count, block_size + 1)
    return [Passage(block, block_size) for block in blocks]


def read_texts(path: Path) -> list[str]:
    """The `text` of every line of a JSON-lines file, at least one. Raises SetupFault."""
    try:
        with path.open(encoding="utf-8") as file:
            texts = [str(json.loads(line)["text"]) for line in file]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SetupFault(str(path), f"not a file of JSON lines with a text: {error}") from None
    if not any(text.split() for text in texts):
        raise SetupFault(str(path), "holds no words")
    return texts


def mean_loss(metric: str, passages: Sequence[Passage]) -> Measurement:
    """Mean cross-entropy in nats per scored token."""
    return Measurement(metric, passages, lambda loss: loss)


def word_perplexity(tokenizer: Tokenizer, texts: Sequence[str], block_size: int) -> Measurement:
    """exp(-sum of log p over all tokens of all documents / number of whitespace-separated words).

    Per word, so that it does not depend on the tokenizer: Merity et al. 2016, with the windows and the corpus-wide
    sum of the `wikitext` task of the lm-evaluation-harness (EleutherAI).
    """
    windows = [
        window
        for number, text in enumerate(texts)
        for window in rolling_windows(tokenizer.encode(text), tokenizer.prefix_token, block_size, number)
    ]
    words = sum(len(text.split()) for text in texts)
    return Measurement("wikitext2_ppl", windows, _perplexity(windows, words))


def last_word_perplexity(tokenizer: Tokenizer, texts: Sequence[str], block_size: int) -> Measurement:
    """exp(-mean over passages of log p(last word | the words before it)), the sum over the word's tokens.

    LAMBADA: Paperno et al. 2016, as `perplexity` of the harness's `lambada_openai` task.
    """
    passages = []
    for text in texts:
        context, _, word = text.rpartition(" ")
        passages.append(continuation(tokenizer, context, f" {word}", block_size))
    return Measurement("lambada_ppl", passages, _perplexity(passages, len(passages)))


def rolling_windows(
    tokens: Sequence[int], prefix_token: int, block_size: int, text: int | None = None
) -> Iterator[Passage]:
    """A document cut into windows in which every token is scored once, as the harness's `loglikelihood_rolling` does.

    The first is conditioned on the prefix token. The last one reaches back, so that its tokens have a full context.
    `text` is the document's number, if it has one.
    """
    head = tokens[:block_size]
    if head:
        yield Passage([prefix_token, *head], len(head), text)
    for start in range(block_size, len(tokens), block_size):
        end = min(start + block_size, len(tokens))
        yield Passage(tokens[end - block_size - 1 : end], end - start, text, start)


def continuation(tokenizer: Tokenizer, context: str, text: str, block_size: int) -> Passage:
    """`text` to be scored after `context`, which loses its beginning where both exceed the block.

    They are encoded together, as a model would meet them.
    """
    before = tokenizer.encode(context) if context else [tokenizer.prefix_token]
    after = tokenizer.encode(context + text)[len(before) :] if context else tokenizer.encode(text)
    return truncated(before, after, block_size)


def truncated(before: Sequence[int], after: Sequence[int], block_size: int) -> Passage:
    """`after` to be scored, with as much of the end of `before` as the block has room for.

    Of a longer `after` only the last block_size tokens are scored.
    """
    tokens = [*before, *after][-(block_size + 1) :]
    return Passage(tokens, min(len(after), len(tokens) - 1))


def _perplexity(passages: Sequence[Passage], words: int) -> Callable[[float], float]:
    """From a mean loss per token to exp of the loss per word, at most the largest float: only a probability of zero
    gives infinity.
    """
    tokens = sum(passage.scored for passage in passages)

    def value(loss: float) -> float:
        nats = loss * tokens / words
        return math.inf if nats == math.inf else math.exp(min(nats, math.log(sys.float_info.max)))

    return value
