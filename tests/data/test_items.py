"""The evaluation sets: right answers are how held-out documents go on, wrong ones break what can be known of them."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner.data.author import write
from runner.data.lexicon import topics
from runner.data.smoke import HELDOUT

Items = Callable[[str], list[dict[str, Any]]]
NOUNS = [set(vocabulary.nouns) for vocabulary in topics()]


@pytest.fixture(scope="module")
def heldout(prepared: Path) -> str:
    return (prepared / "smoke" / "heldout" / "heldout.bin").read_bytes()[::2].decode()


@pytest.fixture(scope="module")
def documents(seed: bytes) -> Callable[[str], str]:
    """The documents of a set, by its name, a line each."""

    def written(name: str) -> str:
        return "".join(f"{document}\n" for document in write(hashlib.sha256(seed + name.encode()).digest(), HELDOUT))

    return written


@pytest.fixture(scope="module")
def items(prepared: Path) -> Items:
    def read(name: str) -> list[dict[str, Any]]:
        lines = (prepared / "smoke" / "heldout" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    return read


def agrees(phrase):
    """Whether its verb goes with its object, within both: `verb article [adjective] noun`."""
    return len({phrase[1][-1], *(word[0] for word in phrase[2:])}) == 1


def test_documents_are_those_of_the_set(items: Items, documents: Callable[[str], str]) -> None:
    assert {item["text"] for item in items("wikitext2")} <= set(documents("wikitext2").splitlines())
    assert len(items("wikitext2")) == 12


def test_no_text_tells_of_the_right_answers_of_another(items: Items, heldout: str) -> None:
    shown = heldout + "".join(item["text"] + "\n" for name in ("wikitext2", "lambada") for item in items(name))
    answers = {
        "arc_easy": [
            f"{one['question']} {one['choices']['text'][ord(one['answerKey']) - 65]}" for one in items("arc_easy")
        ],
        "hellaswag": [f"{one['ctx_a']} {one['endings'][int(one['label'])]}" for one in items("hellaswag")],
        "piqa": [f"{one['goal']} {(one['sol1'], one['sol2'])[one['label']]}" for one in items("piqa")],
        "winogrande": [one["sentence"].replace("_", one[f"option{one['answer']}"]) for one in items("winogrande")],
    }
    for name, right in answers.items():
        others = shown + "".join("\n".join(found) for other, found in answers.items() if other != name)
        assert len(right) == 100
        assert not [text for text in right if text in others]


def test_a_passage_ends_in_a_name_that_stands_before(items: Items, documents: Callable[[str], str]) -> None:
    heldout = documents("lambada")
    passages = [item["text"] for item in items("lambada")]
    assert len(passages) == len(set(passages)) == 100
    for text in passages:
        context, _, name = text.rpartition(" ")
        assert text in heldout
        assert name[0].isupper()
        assert re.search(rf"\b{name}\b", context)
        assert len(text) <= 64


def test_arc_easy_asks_for_agreement(items: Items, documents: Callable[[str], str]) -> None:
    heldout = documents("arc_easy")
    found = items("arc_easy")
    assert Counter(item["answerKey"] for item in found) == dict.fromkeys("ABCD", 25)
    for item in found:
        assert item["choices"]["label"] == list("ABCD")
        answers = dict(zip("ABCD", item["choices"]["text"], strict=True))
        right = answers.pop(item["answerKey"])
        assert f"{item['question']} {right}" in heldout
        assert len({right, *answers.values()}) == 4
        assert agrees(right.split())
        for wrong in answers.values():
            assert wrong.split()[0] != right.split()[0] or not agrees(wrong.split())
            assert len(wrong) == len(right)


def test_hellaswag_asks_for_what_belongs_to_the_document(items: Items, documents: Callable[[str], str]) -> None:
    heldout = documents("hellaswag")
    found = items("hellaswag")
    assert Counter(item["label"] for item in found) == dict.fromkeys("0123", 25)
    for item in found:
        endings = list(item["endings"])
        right = endings.pop(int(item["label"]))
        assert f"{item['ctx_a']} {right}" in heldout
        assert len({right, *endings}) == 4
        document = next(line for line in heldout.splitlines() if f"{item['ctx_a']} {right}" in line)
        topic = next(nouns for nouns in NOUNS if {*re.findall(r"\b[aiu]\w+[lrsmkd]\b", document)} <= nouns)
        for wrong in endings:
            first, *more = re.findall(r"\w+", wrong)
            if right[0].isupper():
                assert first[0].isupper()
                assert first not in document
            else:
                assert next(word for word in more if any(word in nouns for nouns in NOUNS)) not in topic
        if right[0].isupper():
            assert re.match(r"\w+", right)[0] in item["ctx_a"]


def test_piqa_asks_for_spelling(items: Items, documents: Callable[[str], str]) -> None:
    heldout = documents("piqa")
    found = items("piqa")
    assert Counter(item["label"] for item in found) == {0: 50, 1: 50}
    for item in found:
        answers = [item["sol1"], item["sol2"]]
        right = answers.pop(item["label"])
        assert f"{item['goal']} {right}" in heldout
        assert not re.search("[aeiou]{2}", right)
        assert re.search("[aeiou]{2}", answers[0])
        assert sorted(answers[0]) == sorted(right)


def test_winogrande_asks_which_name_a_verb_agrees_with(items: Items, documents: Callable[[str], str]) -> None:
    heldout = documents("winogrande")
    found = items("winogrande")
    assert Counter(item["answer"] for item in found) == {"1": 50, "2": 50}
    for item in found:
        right, wrong = item[f"option{item['answer']}"], item[f"option{3 - int(item['answer'])}"]
        assert item["sentence"].replace("_", right) in heldout
        verb = item["sentence"].partition("_ ")[2]
        assert verb[0] == right[-1] != wrong[-1]
