"""Texts for exams: each is new, whole, and given out once, whoever is killed meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from runner.data import exam, items
from runner.data.exam import NoExam, exams_left, write_exam

WINDOWS = 60


@pytest.fixture
def reserve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with a reserve of so many windows of 9 tokens, each of them another number; five make an exam."""
    monkeypatch.setattr(exam, "WINDOW", 9)
    monkeypatch.setattr(exam, "PASSAGES", 5)
    folder = tmp_path / "set" / "reserve"
    folder.mkdir(parents=True)
    np.repeat(np.arange(WINDOWS), 9).astype("<u2").tofile(folder / "reserve.bin")
    return tmp_path


def passages(path: Path, length: int) -> NDArray[np.int64]:
    return np.fromfile(path, dtype="<u2").astype(np.int64).reshape(-1, length)


def test_smoke_texts_are_new_each_time_and_in_the_same_language(tmp_path: Path, prepared: Path) -> None:
    texts = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_exam(tmp_path, "smoke", 64, tmp_path / name)
        data = (tmp_path / name / "exam.bin").read_bytes()
        assert set(data[1::2]) == {0}
        texts.append(data[::2].decode())
    assert all(exam.SMOKE_BYTES <= len(text) < 1.05 * exam.SMOKE_BYTES for text in texts)
    known = (prepared / "smoke/train/train.bin").read_bytes()[::2].decode()
    for text, other in (texts, reversed(texts), (texts[0], known)):
        lines = text.splitlines()
        assert len(lines) > 50
        assert not set(lines) & set(other.splitlines())
    words = [set(text.lower().replace(".", "").replace(",", "").split()) for text in texts]
    assert len(words[0] & words[1]) > 100


def test_smoke_sets_are_texts_of_which_none_tells_of_another(tmp_path: Path) -> None:
    found = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_exam(tmp_path, "smoke", 64, tmp_path / name)
        files = [tmp_path / name / file for file in ("wikitext2.jsonl", "lambada.jsonl")]
        found.append([[json.loads(line)["text"] for line in file.read_text().splitlines()] for file in files])
    for documents, told in found:
        assert (len(documents), len(told)) == (items.EXAM_DOCUMENTS, items.EXAM_PASSAGES)
        # A passage's last word stands in the sentence before it: two of one document would share a sentence.
        sentences = [sentence for text in (*documents, *told) for sentence in text.split(". ")[:-1]]
        long = [sentence for sentence in sentences if len(sentence.split()) >= 6]  # shorter ones come twice by chance
        assert len(long) > 20
        assert Counter(long).most_common(1)[0][1] == 1
        assert all(text.split()[-1] in text.rpartition(" ")[0] for text in told)
    assert not set(found[0][0]) & set(found[1][0])
    assert not set(found[0][1]) & set(found[1][1])


def test_a_seeded_generator_has_no_part_in_smoke_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.data.author.Random", None)
    write_exam(tmp_path, "smoke", 64, tmp_path)


def test_every_window_is_given_out_once_and_then_there_is_no_exam(reserve: Path) -> None:
    seen: list[int] = []
    for left in range(12, 0, -1):
        assert exams_left(reserve, "set", 8) == left
        write_exam(reserve, "set", 8, reserve)
        given = passages(reserve / "exam.bin", 9)
        assert (given == given[:, :1]).all()
        seen += given[:, 0].tolist()
    assert sorted(seen) == list(range(WINDOWS))
    assert seen != sorted(seen)
    with pytest.raises(NoExam, match="used up: 0 windows are left where 5 are needed"):
        write_exam(reserve, "set", 8, reserve)


def test_shorter_passages_share_windows_and_longer_ones_have_none(reserve: Path) -> None:
    write_exam(reserve, "set", 3, reserve)
    given = passages(reserve / "exam.bin", 4)
    assert given.shape == (5, 4)
    assert (given == given[:, :1]).all()
    assert exams_left(reserve, "set", 3) == (WINDOWS - 3) // 3
    with pytest.raises(NoExam, match="longer than the 9"):
        write_exam(reserve, "set", 9, reserve)


def test_a_set_without_a_reserve_has_no_exam(tmp_path: Path) -> None:
    with pytest.raises(NoExam, match="No such file"):
        write_exam(tmp_path, "set", 8, tmp_path)


def test_another_reserve_is_not_taken_for_the_one_that_was_drawn_from(reserve: Path) -> None:
    write_exam(reserve, "set", 8, reserve)
    with (reserve / "set/reserve/reserve.bin").open("ab") as file:
        file.write(b"more")
    with pytest.raises(NoExam, match=r"another reserve\.bin"):
        write_exam(reserve, "set", 8, reserve)


def test_many_at_once_get_different_windows(reserve: Path) -> None:
    def draw(number: int) -> list[int]:
        folder = reserve / f"exam{number}"
        folder.mkdir()
        write_exam(reserve, "set", 8, folder)
        return [int(n) for n in passages(folder / "exam.bin", 9)[:, 0]]

    with ThreadPoolExecutor(8) as pool:
        given = [window for drawn in pool.map(draw, range(12)) for window in drawn]
    assert sorted(given) == list(range(WINDOWS))


DRAWER = """
import sys
from pathlib import Path
from runner.data import exam
exam.WINDOW, exam.PASSAGES = 9, 5
folder = Path(sys.argv[1])
print("ready", flush=True)
for number in range(12):
    own = folder / "out" / f"{sys.argv[2]}-{number}"
    own.mkdir()
    exam.write_exam(folder, "set", 8, own)
"""


def drawers(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    for life in range(6):
        command = [sys.executable, "-c", DRAWER, str(folder), str(life)]
        yield subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


@pytest.mark.slow
def test_a_drawer_that_is_killed_anywhere_leads_to_no_window_twice(reserve: Path) -> None:
    (reserve / "out").mkdir()
    for life, drawer in enumerate(drawers(reserve)):
        with drawer:
            assert drawer.stdout is not None
            drawer.stdout.readline()
            os.sched_yield()
            try:
                drawer.wait(0.04 * life)
            except subprocess.TimeoutExpired:
                drawer.send_signal(signal.SIGKILL)
    given = [int(n) for file in (reserve / "out").glob("*/exam.bin") for n in passages(file, 9)[:, 0]]
    assert given
    assert len(given) == len(set(given))
