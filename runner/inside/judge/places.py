"""Which tokens of passages are asked for, and what comes before each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runner.inside.judge.passages import Passage

GRAM = 11
"""Tokens in a row that two passages hardly share by chance."""
DEEPEST = 8
"""The most turns, one after another, of passages that show what follows in others."""
Place = tuple[int, int]
"""The number of a passage, and a position in it: the token that comes after the position is asked for."""


@dataclass(frozen=True)
class Prefixes:
    """What a worker is asked to continue."""

    tokens: Sequence[NDArray[np.int32]]
    """Prefixes, each of at least one token."""
    rounds: Sequence[int]
    """The round of each: what is shown in a round may hold the answers to earlier rounds, never to its own or later."""

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True)
class Places:
    """Some of the scored tokens of passages."""

    passages: Sequence[Passage]
    chosen: Sequence[Place]
    turns: Sequence[int] | None = None
    """For each passage when it is asked about: one of a later turn may show what follows in those of earlier ones."""

    def __len__(self) -> int:
        return len(self.chosen)

    def prefix(self, place: Place) -> NDArray[np.int32]:
        """The tokens before the one that is asked for."""
        number, position = place
        return np.asarray(self.passages[number].tokens[: position + 1], dtype=np.int32)

    @property
    def targets(self) -> NDArray[np.int32]:
        """The tokens that are asked for, (N,)."""
        return np.array([self.passages[i].tokens[position + 1] for i, position in self.chosen], dtype=np.int32)

    @property
    def prefixes(self) -> Prefixes:
        """What comes before each, in rounds: of one text a longer prefix comes after the shorter ones."""
        texts, steps = [], []
        names: dict[int, object] = {}
        for i, position in self.chosen:
            if i not in names:
                names[i] = _text_of(self.passages[i])
            texts.append(names[i])
            steps.append(self.passages[i].start + position - self.passages[i].places.start)
        rounds = _in_order(texts, steps)
        if self.turns is not None:
            rounds = _ranked([(self.turns[i], number) for (i, _), number in zip(self.chosen, rounds, strict=True)])
        return Prefixes([self.prefix(place) for place in self.chosen], rounds)

    @property
    def texts(self) -> NDArray[np.int64]:
        """For each the number of the text that it is of, (N,): of its passage where that is no part of a longer one."""
        passages = self.passages
        return np.array([i if (text := passages[i].text) is None else text for i, _ in self.chosen], dtype=np.int64)


def every_place(passages: Sequence[Passage]) -> Places:
    """All scored tokens, which are asked about before any other passage shows them."""
    turns = _turns(passages)
    return Places(passages, _all(passages), turns)


def _all(passages: Sequence[Passage]) -> list[Place]:
    return [(i, position) for i, passage in enumerate(passages) for position in passage.places]


def sampled_places(passages: Sequence[Passage], wanted: int, rng: np.random.Generator) -> Places:
    """Of all scored tokens together as many as are wanted, each as likely; in their order."""
    ends = np.cumsum([passage.scored for passage in passages])
    total = int(ends[-1]) if len(ends) else 0
    numbers = np.sort(rng.choice(total, min(wanted, total), replace=False))
    passage_numbers = np.searchsorted(ends, numbers, side="right")
    return Places(
        passages,
        [
            (i, passages[i].places[number - int(ends[i])])
            for number, i in zip(numbers.tolist(), passage_numbers.tolist(), strict=True)
        ],
    )


def spread_places(passages: Sequence[Passage], wanted: int, rng: np.random.Generator) -> Places:
    """One of each of as many equal parts of all scored tokens, as long as there are so many; in their order.

    Each token is as likely, and a text has as many as is its share.
    """
    every = _all(passages)
    edges = np.linspace(0, len(every), min(wanted, len(every)) + 1).astype(np.int64)
    return Places(passages, [every[number] for number in rng.integers(edges[:-1], edges[1:]).tolist()])


def _text_of(passage: Passage) -> object:
    """What two passages share that are cut from the same text, or that are scored alike after several contexts: any of
    these would give it away."""
    if passage.text is not None:
        return passage.text
    return np.asarray(passage.tokens[passage.places.start + 1 :], dtype=np.int32).tobytes()


def _in_order(texts: Sequence[object], steps: Sequence[int]) -> list[int]:
    """A round for each prefix: of those of one text, one that shows more of it comes later. Arguments are parallel.

    `texts` name the text that a prefix belongs to, `steps` say how far into it the prefix reaches.
    """
    reached: dict[object, set[int]] = {}
    for text, step in zip(texts, steps, strict=True):
        reached.setdefault(text, set()).add(step)
    ranks = {text: {step: rank for rank, step in enumerate(sorted(of_text))} for text, of_text in reached.items()}
    return [ranks[text][step] for text, step in zip(texts, steps, strict=True)]


def _ranked(pairs: Sequence[tuple[int, int]]) -> list[int]:
    """The place of each among the different ones in their order."""
    ranks = {pair: rank for rank, pair in enumerate(sorted(set(pairs)))}
    return [ranks[pair] for pair in pairs]


def _turns(passages: Sequence[Passage]) -> list[int]:
    """A turn for each passage, later than those of passages whose first scored token it shows: in a context that is cut
    from the same text, after the same GRAM - 1 tokens. Two that show each other's come as they may."""
    rows = [np.asarray(passage.tokens, dtype=np.int32) for passage in passages]
    ends = [passage.places.start + 2 for passage in passages]
    told: dict[bytes, list[int]] = {}
    for i, (row, end) in enumerate(zip(rows, ends, strict=True)):
        told.setdefault(row[max(0, end - GRAM) : end].tobytes(), []).append(i)
    turns = [0] * len(rows)
    shows = [
        sorted({i for at in range(GRAM, end) for i in told.get(row[at - GRAM : at].tobytes(), ())} - {j})
        for j, (row, end) in enumerate(zip(rows, ends, strict=True))
    ]
    for _ in range(DEEPEST):
        for j, shown in enumerate(shows):
            turns[j] = max([turns[j], *(turns[i] + 1 for i in shown if turns[i] < DEEPEST)])
    return turns
