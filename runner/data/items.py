"""Small evaluation sets made from documents of their own, in the fields the lm-evaluation-harness expects.

They show that the whole path works and that training helps; they measure nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from random import Random
from typing import Any

from runner.data.author import SmokeDocument
from runner.data.questions import Place, Question, agreement, places, recurrence, reference, spelling, topic

Item = Mapping[str, Any]

DOCUMENTS = 12
PASSAGES = 100
QUESTIONS = 100
"""Items of each multiple-choice task; every label is the right one equally often."""
EXAM_DOCUMENTS, EXAM_PASSAGES = 128, 128
"""In an exam, where each passage is of a document of its own."""
MANY = 4
"""Passages in a document; few have more."""


def evaluation_sets(documents_of: Callable[[str], Sequence[SmokeDocument]], rng: Random) -> dict[str, list[Item]]:
    """File name to items. `documents_of` gives each set, by its name, documents that are in no other text: what a model
    is shown of one tells nothing of the right answers of another.
    """

    def found(name: str) -> list[Place]:
        return places(documents_of(name), rng)

    return {
        "wikitext2.jsonl": [{"text": str(document)} for document in documents_of("wikitext2")[:DOCUMENTS]],
        "lambada.jsonl": [{"text": text} for text in islice(recurrence(found("lambada")), PASSAGES)],
        "arc_easy.jsonl": _items(agreement(found("arc_easy"), rng), 4, _arc_easy),
        "hellaswag.jsonl": _items(topic(found("hellaswag"), rng), 4, _hellaswag),
        "piqa.jsonl": _items(spelling(found("piqa")), 2, _piqa),
        "winogrande.jsonl": _items(reference(found("winogrande")), 2, _winogrande),
    }


def exam_sets(documents: Iterator[SmokeDocument], rng: Random) -> dict[str, list[Item]]:
    """File name to items of the sets that are texts, each of a document of its own: none tells of another."""
    texts: list[Item] = [{"text": str(document)} for document in islice(documents, EXAM_DOCUMENTS)]
    passages = (_one_of(recurrence(places([document], rng)), rng) for document in documents)
    told = islice(filter(None, passages), EXAM_PASSAGES)
    return {"wikitext2.jsonl": texts, "lambada.jsonl": [{"text": text} for text in told]}


def _one_of(passages: Iterator[str], rng: Random) -> str | None:
    """One of a document's, or none: as likely as the document has many, as in a draw from the passages of all."""
    found = list(passages)
    number = rng.randrange(MANY)
    return found[number] if number < len(found) else None


def _items(questions: Iterator[Question], labels: int, item: Callable[[Question, int], Item]) -> list[Item]:
    """The place of the right answer goes round, so that a model that likes one place gains nothing."""
    return [item(question, i % labels) for i, question in enumerate(islice(questions, QUESTIONS))]


def _arc_easy(question: Question, place: int) -> Item:
    labels = ["A", "B", "C", "D"]
    return {
        "question": question.before,
        "choices": {"text": question.choices(place), "label": labels},
        "answerKey": labels[place],
    }


def _hellaswag(question: Question, place: int) -> Item:
    return {
        "activity_label": "Doc",
        "ctx_a": question.before,
        "ctx_b": "",
        "endings": question.choices(place),
        "label": str(place),
    }


def _piqa(question: Question, place: int) -> Item:
    first, second = question.choices(place)
    return {"goal": question.before, "sol1": first, "sol2": second, "label": place}


def _winogrande(question: Question, place: int) -> Item:
    first, second = question.choices(place)
    return {
        "sentence": f"{question.before}_{question.after}",
        "option1": first,
        "option2": second,
        "answer": str(place + 1),
    }
