"""The invented language: fixed words, and texts that keep to its grammar."""

from __future__ import annotations

import hashlib
import re

import pytest

from runner.data.author import write
from runner.data.lexicon import ARTICLES, CONJUNCTIONS, GENDERS, PREPOSITIONS, RELATIVE, topics


@pytest.fixture(scope="module")
def documents() -> list[str]:
    return list(write(b"a text for tests", 200_000))


def test_the_words_are_the_same_everywhere() -> None:
    """Goes with the data's format: other words are another language, and losses in it compare to no older ones."""
    assert hashlib.sha256(repr(topics()).encode()).hexdigest() == WORDS


def test_no_form_has_two_readings() -> None:
    readings = {}

    def add(kind, *forms):
        for form in forms:
            readings.setdefault(form, set()).add(kind)

    for vocabulary in topics():
        add("noun", *vocabulary.nouns)
        add("adverb", *vocabulary.adverbs)
        for gender in GENDERS:
            add("adjective", *(gender + stem for stem in vocabulary.adjectives))
            add("verb", *(gender + stem for stem in vocabulary.verbs))
            add("article", *(stem + gender for stem in ARTICLES))
    for word in (*PREPOSITIONS, RELATIVE, *CONJUNCTIONS):
        add(word, word)
    assert {form: kinds for form, kinds in readings.items() if len(kinds) > 1} == {}


def test_consonants_and_vowels_alternate(documents: list[str]) -> None:
    for document in documents:
        for word in re.findall("[a-z]+", str(document).lower()):
            assert not re.search("[aeiou]{2}|[^aeiou]{2}", word)


def test_everything_agrees_with_its_noun_or_name(documents: list[str]) -> None:
    for document in documents:
        for sentence in document.sentences:
            head = next(word for word in sentence.subject if word[0].isupper() or word in NOUNS)
            gender = head[-1] if head[0].isupper() else head[0]
            assert sentence.verb[0] == gender
            assert {word[0] for word in sentence.rest if word[1:] in VERBS} <= {gender}
            if len(sentence.object) > 1:
                article, *adjective, noun = sentence.object
                assert {article[-1], *(word[0] for word in adjective)} == {noun[0]}


def test_topics_have_their_own_words(documents: list[str]) -> None:
    for document in documents:
        vocabulary = topics()[document.topic]
        assert {word for word in re.findall("[a-z]+", str(document)) if word in NOUNS} <= set(vocabulary.nouns)
    common = set.intersection(*(set(vocabulary.nouns) for vocabulary in topics()))
    assert 2 * len(common) < min(len(set(vocabulary.nouns)) for vocabulary in topics()) + 2 * len(common) < len(NOUNS)


def test_names_recur_in_their_document_and_hardly_elsewhere(documents: list[str]) -> None:
    mentions = [re.findall("[A-Z][a-z]+", str(document)) for document in documents]
    for document, names in zip(documents, mentions, strict=True):
        assert set(names) <= set(document.names)
        assert len({name[-1] for name in document.names}) == 2
    assert sum(map(len, mentions)) > 5 * sum(len(set(names)) for names in mentions) / 2
    assert len({name for document in documents for name in document.names}) > 1.6 * len(documents)


NOUNS = {noun for vocabulary in topics() for noun in vocabulary.nouns}
VERBS = {verb for vocabulary in topics() for verb in vocabulary.verbs}
WORDS = "c8fbd43a9899b7a7ba54073a590ddfa4948035cf950c47c81ba65a6ee6ef35f1"
