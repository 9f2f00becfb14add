"""The words of an invented language: the same on every machine, and in nobody's files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

VOWELS = "aeiou"
GENDERS = "aiu"
"""Vowels. A name ends in its own, a noun begins with it, and so do an adjective and a verb that belong to either."""
ARTICLES = ("t", "n")
"""They end in their noun's vowel."""
PREPOSITIONS = ("se", "do", "vel", "ro")
RELATIVE = "ke"
CONJUNCTIONS = ("be", "mo")

Table = tuple[str, ...]
"""Words, each as often as its frequency says: an even choice among the entries is a choice of a word."""

_TOPICS = 8
_ENTRIES = 512  # of a table, about
_COMMON = 4  # one entry in so many is of no topic
_ONSETS = "kkkkkkmmmmmrrrrlllsssddbbvpg"  # as often as a letter stands here
_NUCLEI = "eeeeeooooaaiiu"
_CODAS = "llllrrrssmmkkd"


@dataclass(frozen=True)
class Vocabulary:
    """What a document of one topic is written with. Three words in four are its own, the others common to all."""

    nouns: Table
    adjectives: Table
    """Without the vowel before them, like verbs."""
    verbs: Table
    adverbs: Table


@cache
def topics() -> tuple[Vocabulary, ...]:
    """Coined from a seed that stands here: losses of two installations are about one language."""
    coin = _Coiner("an invented language")
    nouns = coin.by_topic(12, 10, beginnings=GENDERS)
    adjectives = coin.by_topic(6, 8, ending="e")
    verbs = coin.by_topic(8, 8, ending="o")
    adverbs = _by_frequency(coin.words(16, ending="en"), _ENTRIES)
    return tuple(Vocabulary(*tables, adverbs) for tables in zip(nouns, adjectives, verbs, strict=True))


class _Coiner:
    """New words, no stem twice."""

    def __init__(self, seed: str) -> None:
        # Of all a Random can do, only this is promised to stay as it is from one Python to the next.
        self._random = Random(seed).random
        self._stems = self._coined()

    def by_topic(self, own: int, common: int, beginnings: str = "", ending: str = "") -> list[Table]:
        """A table for each topic, with so many words of its own and so many that all topics have."""
        shared = _by_frequency(self.words(common, beginnings, ending), _ENTRIES // _COMMON)
        rest = _ENTRIES - _ENTRIES // _COMMON
        return [_by_frequency(self.words(own, beginnings, ending), rest) + shared for _ in range(_TOPICS)]

    def words(self, count: int, beginnings: str = "", ending: str = "") -> list[str]:
        """The commonest first, each with one of the beginnings, if there are any."""
        stems = sorted((next(self._stems) for _ in range(count)), key=len)  # frequent words are short
        return [(self._one_of(beginnings) if beginnings else "") + stem + ending for stem in stems]

    def _coined(self) -> Iterator[str]:
        """Of one syllable or two."""
        known = set()
        while True:
            first = "" if self._random() < 0.7 else self._one_of(_ONSETS) + self._one_of(_NUCLEI)
            stem = first + self._one_of(_ONSETS) + self._one_of(_NUCLEI) + self._one_of(_CODAS)
            if stem not in known:
                known.add(stem)
                yield stem

    def _one_of(self, letters: str) -> str:
        return letters[int(self._random() * len(letters))]


def _by_frequency(words: Sequence[str], entries: int) -> Table:
    """About so many entries. Zipf's law as Mandelbrot has it: the word of rank r is as frequent as 1 / (r + 2)."""
    share = entries / sum(1 / (rank + 2) for rank in range(len(words)))
    return tuple(word for rank, word in enumerate(words) for _ in range(max(1, round(share / (rank + 2)))))
