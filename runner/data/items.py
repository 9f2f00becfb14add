"""Small evaluation sets made from held-out documents, in the fields the lm-evaluation-harness expects.

They show that the whole path works and that training helps; they measure nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from random import Random
from typing import Any

from runner.data.author import SmokeDocument
from runner.data.questions import Question, agreement, places, recurrence, reference, spelling, topic

Item = Mapping[str, Any]

DOCUMENTS = 12
PASSAGES = 100
QUESTIONS = 100
"""Items of each multiple-choice task; every label is the right one equally often."""


def evaluation_sets(documents: Sequence[SmokeDocument], rng: Random) -> dict[str, list[Item]]:
    """File name to items."""
    found = places(documents, rng)
    return {
        "wikitext2.jsonl": [{"text": str(document)} for document in documents[:DOCUMENTS]],
        "lambada.jsonl": [{"text": text} for text in islice(recurrence(found), PASSAGES)],
        "arc_easy.jsonl": _items(agreement(found, rng), 4, _arc_easy),
        "hellaswag.jsonl": _items(topic(found, rng), 4, _hellaswag),
        "piqa.jsonl": _items(spelling(found), 2, _piqa),
        "winogrande.jsonl": _items(reference(found), 2, _winogrande),
    }


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
