"""Texts in the invented language: a small grammar with agreement at a distance, and topics and names that recur."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random, SystemRandom
from typing import NamedTuple

from runner.data.lexicon import (
    ARTICLES,
    CONJUNCTIONS,
    GENDERS,
    PREPOSITIONS,
    RELATIVE,
    VOWELS,
    Table,
    Vocabulary,
    topics,
)

Words = tuple[str, ...]

_CONSONANTS = "bdfghjklmnprstvz"


class Sentence(NamedTuple):
    """A sentence as its parts in their order."""

    subject: Words
    verb: str
    """It agrees with the subject's head (its name, or its first noun), whatever stands between them."""
    object: Words
    """A name, or a noun with its article and maybe an adjective, which both agree with it, or nothing."""
    rest: Words
    """Where, how, or what else the subject did: that verb, too, agrees with it."""

    def __str__(self) -> str:
        return " ".join((*self.subject, self.verb, *self.object, *self.rest)).replace(" ,", ",") + "."


@dataclass(frozen=True)
class SmokeDocument:
    """Sentences on one topic, about the bearers of two names of different gender."""

    topic: int
    names: tuple[str, str]
    sentences: tuple[Sentence, ...]

    def __str__(self) -> str:
        return " ".join(map(str, self.sentences))


def write(seed: bytes, length: int) -> Iterator[SmokeDocument]:
    """Documents until they have `length` characters, a line end after each. The same for the same seed."""
    return _documents(Random(seed).random, length)


def write_unforeseeable(length: int) -> Iterator[SmokeDocument]:
    """The same with choices that nobody can foresee, not even from the text before.

    The choices of a seeded generator could be worked out from enough of what they led to: it is no cipher.
    """
    return _documents(SystemRandom().random, length)


def _documents(random: Callable[[], float], length: int) -> Iterator[SmokeDocument]:
    while length > 0:
        document = _document(random)
        length -= len(str(document)) + 1
        yield document


def _document(random: Callable[[], float]) -> SmokeDocument:
    topic = int(random() * len(topics()))
    scribe = _Scribe(random, topics()[topic], _names(random))
    return SmokeDocument(topic, scribe.names, tuple(scribe.sentence() for _ in range(8 + int(random() * 9))))


def _names(random: Callable[[], float]) -> tuple[str, str]:
    def one_of(letters: str) -> str:
        return letters[int(random() * len(letters))]

    first = one_of(GENDERS)
    second = one_of(GENDERS.replace(first, ""))
    one, other = (one_of(_CONSONANTS).upper() + one_of(VOWELS) + one_of(_CONSONANTS) for _ in range(2))
    return one + first, other + second


class _Scribe:
    """Makes the sentences of one document."""

    def __init__(self, random: Callable[[], float], vocabulary: Vocabulary, names: tuple[str, str]) -> None:
        self._random = random
        self._vocabulary = vocabulary
        self.names = names
        self._hero = 0
        """Whom it was about last."""

    def sentence(self) -> Sentence:
        random = self._random
        about_name = random() < 0.5
        if about_name:
            self._hero ^= random() < 0.35
            subject: Words = (self.names[self._hero],)
            gender = subject[0][-1]
        else:
            subject, gender = self._long_noun_phrase()
        return Sentence(subject, self._verb(gender), self._object(about_name), self._rest(gender))

    def _long_noun_phrase(self) -> tuple[Words, str]:
        """And its gender. Often another noun or verb follows, so that the sentence's verb is far from its subject."""
        phrase = self._noun_phrase()
        gender = phrase[-1][0]
        kind = self._random()
        if kind < 0.2:
            phrase += (self._one_of(PREPOSITIONS), *self._noun_phrase())
        elif kind < 0.35:
            phrase += (RELATIVE, self._verb(gender))
        return phrase, gender

    def _noun_phrase(self) -> Words:
        noun = self._one_of(self._vocabulary.nouns)
        gender = noun[0]
        article = self._one_of(ARTICLES) + gender
        if self._random() < 0.3:
            return article, gender + self._one_of(self._vocabulary.adjectives), noun
        return article, noun

    def _object(self, about_name: bool) -> Words:
        """Nobody does a thing to oneself."""
        kind = self._random()
        if kind < 0.25:
            return ()
        if kind < 0.6:
            return (self.names[1 - self._hero if about_name or self._random() < 0.5 else self._hero],)
        return self._noun_phrase()

    def _rest(self, gender: str) -> Words:
        kind = self._random()
        if kind < 0.15:
            return (self._one_of(self._vocabulary.adverbs),)
        if kind < 0.3:
            return (self._one_of(PREPOSITIONS), *self._noun_phrase())
        if kind < 0.5:
            return (",", self._one_of(CONJUNCTIONS), self._verb(gender))
        return ()

    def _verb(self, gender: str) -> str:
        return gender + self._one_of(self._vocabulary.verbs)

    def _one_of(self, table: Table) -> str:
        return table[int(self._random() * len(table))]
