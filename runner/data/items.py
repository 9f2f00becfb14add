"""Small evaluation sets made from held-out documentation, in the fields the lm-evaluation-harness expects.

A right answer is how a sentence really goes on, a wrong one how another sentence does. They show that the whole path
works and that training helps; they measure nothing else.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from random import Random
from typing import Any

Item = Mapping[str, Any]
Sentence = tuple[str, ...]

DOCUMENTS = 12
PASSAGES = 40
QUESTIONS = 25
"""Items of each multiple-choice task."""


def evaluation_sets(sources: Iterable[str], rng: Random) -> dict[str, list[Item]]:
    """File name to items, from Python sources."""
    docstrings = [text for source in sources for text in _docstrings(source)]
    documents = [text for text in docstrings if 300 <= len(text) <= 1200][:DOCUMENTS]
    sentences = sorted({sentence for text in docstrings for sentence in _sentences(text)})
    makers: dict[str, tuple[int, Callable[[Sentence, list[Sentence], Random], Item]]] = {
        "lambada.jsonl": (PASSAGES, _passage),
        "arc_easy.jsonl": (QUESTIONS, _arc_easy),
        "hellaswag.jsonl": (QUESTIONS, _hellaswag),
        "piqa.jsonl": (QUESTIONS, _piqa),
        "winogrande.jsonl": (QUESTIONS, _winogrande),
    }
    sets: dict[str, list[Item]] = {"wikitext2.jsonl": [{"text": text} for text in documents]}
    for name, (count, make) in makers.items():
        chosen = rng.sample(sentences, min(count, len(sentences)))
        sets[name] = [make(sentence, sentences, rng) for sentence in chosen]
    return sets


def _docstrings(source: str) -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd escapes in other people's strings are no concern of ours
        tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield text


def _sentences(text: str) -> Iterator[Sentence]:
    """Plain sentences of 8 to 30 words, as words without the full stop."""
    for paragraph in re.split(r"\n\s*\n", text):
        for sentence in re.split(r"\.\s+|\.$", " ".join(paragraph.split())):
            if re.fullmatch(r"[A-Z][a-z]*(?: [A-Za-z'-]*[a-z],?)+", sentence) and 8 <= sentence.count(" ") + 1 <= 30:
                yield tuple(sentence.split(" "))


def _passage(sentence: Sentence, _: list[Sentence], __: Random) -> Item:
    return {"text": " ".join(sentence)}


def _arc_easy(sentence: Sentence, others: list[Sentence], rng: Random) -> Item:
    texts, right = _choices(sentence, others, 4, rng)
    labels = ["A", "B", "C", "D"]
    return {
        "question": " ".join(sentence[-7:-3]),
        "choices": {"text": texts, "label": labels},
        "answerKey": labels[right],
    }


def _hellaswag(sentence: Sentence, others: list[Sentence], rng: Random) -> Item:
    endings, right = _choices(sentence, others, 4, rng)
    return {
        "activity_label": "Doc",
        "ctx_a": " ".join(sentence[:-3]),
        "ctx_b": "",
        "endings": endings,
        "label": str(right),
    }


def _piqa(sentence: Sentence, others: list[Sentence], rng: Random) -> Item:
    (first, second), right = _choices(sentence, others, 2, rng)
    return {"goal": " ".join(sentence[-7:-3]), "sol1": first, "sol2": second, "label": right}


def _winogrande(sentence: Sentence, others: list[Sentence], rng: Random) -> Item:
    gap = len(sentence) - 4
    wrong = rng.choice(sorted({other[-4] for other in others} - {sentence[gap]}))
    options = [sentence[gap], wrong]
    rng.shuffle(options)
    return {
        "sentence": " ".join([*sentence[:gap], "_", *sentence[gap + 1 :]]),
        "option1": options[0],
        "option2": options[1],
        "answer": str(options.index(sentence[gap]) + 1),
    }


def _choices(sentence: Sentence, others: list[Sentence], count: int, rng: Random) -> tuple[list[str], int]:
    """The last three words of the sentence among those of `count` - 1 others, and where they are."""
    right = " ".join(sentence[-3:])
    texts = [right, *rng.sample(sorted({" ".join(other[-3:]) for other in others} - {right}), count - 1)]
    rng.shuffle(texts)
    return texts, texts.index(right)
