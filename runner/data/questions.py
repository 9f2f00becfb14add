"""Questions about documents. The right answer is how the text goes on; what is wrong with the others can be learned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random

from runner.data.author import Sentence, SmokeDocument, Words
from runner.data.lexicon import GENDERS, VOWELS, topics

WINDOW = 64
"""Characters within which lies what a passage's last word can be known from: the context of the smoke scale."""


@dataclass(frozen=True)
class Place:
    """A sentence in its document, with the one before it."""

    document: SmokeDocument
    previous: Sentence
    sentence: Sentence


@dataclass(frozen=True)
class Question:
    """`right` or one of `wrong` comes between `before` and `after`."""

    before: str
    right: str
    wrong: tuple[str, ...]
    after: str = ""

    def choices(self, place: int) -> list[str]:
        """All answers, the right one at `place`."""
        return [*self.wrong[:place], self.right, *self.wrong[place:]]


def places(documents: Sequence[SmokeDocument], rng: Random) -> list[Place]:
    """All there are, shuffled."""
    found = [
        Place(document, *pair)
        for document in documents
        for pair in zip(document.sentences, document.sentences[1:], strict=False)
    ]
    rng.shuffle(found)
    return found


def recurrence(found: Sequence[Place]) -> Iterator[str]:
    """Passages whose last word is a name that the sentence before has mentioned."""
    for place in found:
        name = place.sentence.object[-1] if place.sentence.object else ""
        text = f"{place.previous} {_joined(place.sentence.subject, place.sentence.verb, name)}"
        if name in place.document.names and name in str(place.previous) and len(text) <= WINDOW:
            yield text


def agreement(found: Sequence[Place], rng: Random) -> Iterator[Question]:
    """Which verb and object, of which one agrees with the subject and in itself? All of the same length (4 answers)."""
    for place in found:
        subject, verb, object_ = place.sentence[:3]
        if len(object_) > 1:
            article, *adjective, noun = object_
            gender = _another(noun[0], rng)
            wrong_verb = _another(verb[0], rng) + verb[1:]
            wrong_object = (article[0] + gender, *(gender + word[1:] for word in adjective), noun)
            wrong = (_joined(wrong_verb, object_), _joined(verb, wrong_object), _joined(wrong_verb, wrong_object))
            yield Question(_joined(subject), _joined(verb, object_), wrong)


def spelling(found: Sequence[Place]) -> Iterator[Question]:
    """Which object is spelled as words are, consonants and vowels by turns? Both have the same letters (2 answers)."""
    for place in found:
        subject, verb, object_ = place.sentence[:3]
        if len(object_) > 1:
            article, *others = object_
            misspelled = ("".join(sorted(word, key=lambda letter: letter in VOWELS)) for word in others)
            yield Question(_joined(subject, verb), _joined(object_), (_joined(article, *misspelled),))


def reference(found: Sequence[Place]) -> Iterator[Question]:
    """Which of the two names goes with what follows it? Its verbs agree with one only (2 answers)."""
    for place in found:
        name, *more = place.sentence.subject
        if not more:
            (other,) = set(place.document.names) - {name}
            yield Question(f"{place.previous} ", name, (other,), str(place.sentence).removeprefix(name))


def topic(found: Sequence[Place], rng: Random) -> Iterator[Question]:
    """Which ending is of this document? The others are strange to it (4 answers).

    Where it begins with a name that was there before, they begin with others; where with a noun, with nouns of other
    topics.
    """
    for place in found:
        subject, verb, object_ = place.sentence[:3]
        if len(object_) > 1 or (object_ and object_[0] in str(place.previous)):
            known = {*place.document.names, *topics()[place.document.topic].nouns}
            others = (one.sentence for one in rng.sample(found, len(found)))
            strange = (one for one in others if len(one.object) == len(object_) and one.object[-1] not in known)
            wrong = tuple(islice(dict.fromkeys(map(_ending, strange)), 3))
            yield Question(f"{place.previous} {_joined(subject, verb)}", _ending(place.sentence), wrong)


def _ending(sentence: Sentence) -> str:
    return str(sentence._replace(subject=(), verb=sentence.object[0], object=sentence.object[1:]))


def _another(gender: str, rng: Random) -> str:
    return rng.choice(GENDERS.replace(gender, ""))


def _joined(*parts: str | Words) -> str:
    return " ".join(word for part in parts for word in ((part,) if isinstance(part, str) else part))
