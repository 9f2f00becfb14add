"""The smoke data: the same every time, complete or absent, held-out text held out."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from runner.data import DataError, is_prepared, prepare_smoke
from runner.data.corpus import read_corpus


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    prepare_smoke(folder)
    return folder


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_preparing_elsewhere_gives_the_same_bytes(prepared, tmp_path):
    prepare_smoke(tmp_path / "new" / "folder")
    assert contents(tmp_path / "new" / "folder") == contents(prepared)


def test_preparing_again_touches_nothing(prepared):
    before = {path: path.stat().st_mtime_ns for path in prepared.rglob("*")}
    prepare_smoke(prepared)
    assert {path: path.stat().st_mtime_ns for path in prepared.rglob("*")} == before


def test_processes_that_prepare_at_once_agree(prepared, tmp_path):
    code = "import sys, pathlib, runner.data; runner.data.prepare_smoke(pathlib.Path(sys.argv[1]))"
    racing = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(3)]
    assert [process.wait() for process in racing] == [0, 0, 0]
    assert contents(tmp_path) == contents(prepared)


def test_readiness_is_known_by_name_and_format(prepared, tmp_path):
    assert is_prepared(prepared, "smoke/train")
    assert is_prepared(prepared, "smoke/heldout")
    assert not is_prepared(prepared, "smoke/other")
    assert not is_prepared(tmp_path, "smoke/train")


def test_data_of_an_older_format_is_replaced(prepared, tmp_path):
    for name in ("train", "heldout"):
        (tmp_path / "smoke" / name).mkdir(parents=True)
        (tmp_path / "smoke" / name / "meta.json").write_text('{"format": 0}')
    assert not is_prepared(tmp_path, "smoke/train")
    prepare_smoke(tmp_path)
    assert contents(tmp_path) == contents(prepared)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError) as caught:
        prepare_smoke(tmp_path / "file" / "data")
    assert caught.value.path == tmp_path / "file" / "data"


def test_other_users_can_read_it(prepared):
    for path in [prepared / "smoke", *(prepared / "smoke").rglob("*")]:
        assert path.stat().st_mode & 0o044 == 0o044


def test_no_file_is_in_two_splits():
    corpus = read_corpus()
    train, dev, heldout = set(corpus.train), set(corpus.dev), set(corpus.heldout)
    assert not train & dev | train & heldout | dev & heldout
    assert len(train) > 10 * len(dev) > 0
    assert len(train) > 10 * len(heldout) > 0
    assert not [name for name in train | dev | heldout if "site-packages" in name or name.startswith("test/")]


def test_tokens_are_the_bytes_of_the_files(prepared):
    corpus = read_corpus()
    data = (prepared / "smoke" / "train" / "dev.bin").read_bytes()
    assert set(data[1::2]) == {0}
    assert data[::2].decode() == "\n".join(corpus.dev.values())

    heldout = (prepared / "smoke" / "heldout" / "heldout.bin").read_bytes()[::2].decode()
    assert 20000 < len(heldout) < 200000
    assert heldout[200:800] in "\n".join(corpus.heldout.values())
    assert heldout[200:800] not in "\n".join(corpus.train.values())


def test_right_answers_are_how_the_text_goes_on(prepared):
    def items(name):
        lines = (prepared / "smoke" / "heldout" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    text = " ".join(" ".join(read_corpus().heldout.values()).split())
    for item in items("arc_easy"):
        right = item["choices"]["text"][item["choices"]["label"].index(item["answerKey"])]
        assert f"{item['question']} {right}" in text
        assert len(set(item["choices"]["text"])) == 4
    for item in items("hellaswag"):
        assert f"{item['ctx_a']} {item['endings'][int(item['label'])]}" in text
    for item in items("piqa"):
        assert f"{item['goal']} {item[('sol1', 'sol2')[item['label']]]}" in text
    for item in items("winogrande"):
        assert item["sentence"].replace("_", item[f"option{item['answer']}"]) in text
        assert item["option1"] != item["option2"]
    for item in items("lambada"):
        assert item["text"] in text
    assert len(items("wikitext2")) >= 5
