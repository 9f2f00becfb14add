"""From Parquet on a hub to what runs read: every document in one part, every set in the evaluator's form."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiktoken

from runner.data.benchmarks import LAMBADA, LM_EVAL, WIKITEXT2
from runner.data.bpe import END_OF_TEXT, FILES, prepare_tokenizer
from runner.data.corpora import CLIMBMIX, CORPORA, FINEWEB, Corpus, part_of
from runner.data.errors import DataError
from runner.data.fetch import Fetcher
from runner.data.lock import NAME
from runner.data.prepare import (
    EXPECTED,
    heldout_folder,
    missing,
    needed_for,
    prepare_corpus,
    reserve_folder,
    train_folder,
)
from runner.inside.judge.harness import TASKS, run_tasks
from runner.inside.judge.language import heldout_blocks, read_texts
from tasks.data_sets import TextData

TRAIN, HELDOUT, RESERVE = (name(FINEWEB.name) for name in (train_folder, heldout_folder, reserve_folder))
CONVERTED = "refs/convert/parquet"
ROWS: dict[str, list[dict[str, Any]]] = {
    "wikitext2.jsonl": [{"page": " = Äpfel = \n\n Two lines .\n", "extra": 1}, {"page": " = B = \n"}],
    "lambada.jsonl": [{"text": "the last word"}],
    "arc_easy.jsonl": [
        {"id": "1", "question": "Q?", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "B"}
    ],
    "hellaswag.jsonl": [
        {"ind": 1, "activity_label": "A", "ctx_a": "x", "ctx_b": "y", "endings": list("abcd"), "label": "2"}
    ],
    "piqa.jsonl": [{"goal": "g", "sol1": "s", "sol2": "t", "label": 1}],
    "winogrande.jsonl": [{"sentence": "a _ c", "option1": "b", "option2": "d", "answer": "1"}],
}


@pytest.fixture
def documents(hub: Any) -> list[str]:
    """In two files, some of them twice."""
    rng = random.Random(7)
    texts = [f"Document {n}: {rng.randbytes(20).hex()}" for n in range(4000)]
    texts += texts[:500]
    rng.shuffle(texts)
    for number in range(2):
        rows = [{"text": text, "url": "u"} for text in texts[number::2]]
        hub.add_parquet(
            FINEWEB.source.repo, FINEWEB.source.path, rows, FINEWEB.source.revision, f"00{number}_00000.parquet"
        )
    return texts[0::2] + texts[1::2]


@pytest.fixture
def benchmarks(hub: Any) -> None:
    for one in (WIKITEXT2, LAMBADA, *LM_EVAL):
        hub.add_parquet(one.source.repo, one.source.path, ROWS[one.file], CONVERTED, "0000.parquet")


@pytest.fixture(scope="module")
def encoding() -> Any:
    """A real tokenizer of 256 tokens, one per byte: GPT-2's files cannot be had without internet."""
    ranks = {bytes([n]): n for n in range(256)}
    return tiktoken.Encoding("bytes", pat_str=r"[\s\S]+", mergeable_ranks=ranks, special_tokens={})


def texts_in(path: Path) -> list[str]:
    tokens = np.fromfile(path, dtype="<u2")
    ends = np.flatnonzero(tokens == END_OF_TEXT)
    return [
        part[part != END_OF_TEXT].astype(np.uint8).tobytes().decode() for part in np.split(tokens, ends)[: len(ends)]
    ]


def test_every_document_is_in_exactly_one_part(
    fetcher: Fetcher, encoding: Any, told: Any, tmp_path: Path, documents: list[str]
) -> None:
    prepare_corpus(tmp_path, FINEWEB, fetcher, encoding, told, keep=False)
    parts = {
        "train": texts_in(tmp_path / TRAIN / "train.bin"),
        "dev": texts_in(tmp_path / TRAIN / "dev.bin"),
        "heldout": texts_in(tmp_path / HELDOUT / "heldout.bin"),
        "reserve": texts_in(tmp_path / RESERVE / "reserve.bin"),
    }
    for part, texts in parts.items():
        assert texts == [text for text in documents if part_of(text) == part]
        assert texts
    train, dev, heldout, reserve = map(set, parts.values())
    assert not train & dev | train & heldout | dev & heldout | reserve & (train | dev | heldout)
    assert len(train) > 20 * len(heldout)
    assert 0.02 * len(train) < len(reserve) < 0.04 * len(train)
    assert not (tmp_path / ".making" / "fineweb10b").exists()
    assert not list((tmp_path / ".downloads").rglob("*.parquet"))
    noted = json.loads((tmp_path / TRAIN / "meta.json").read_text())["files"]
    assert sorted(noted) == ["dev.bin", "train.bin"]
    assert len(heldout_blocks(tmp_path / HELDOUT / "heldout.bin", 16, 50304, None)) > 3


def test_a_preparation_broken_off_goes_on_and_gives_the_same_bytes(
    fetcher: Fetcher, encoding: Any, told: Any, hub: Any, tmp_path: Path, documents: list[str]
) -> None:
    assert documents
    prepare_corpus(tmp_path / "at-once", FINEWEB, fetcher, encoding, told, keep=False)
    hub.asked.clear()

    class Stops:
        """The tokenizer of a process that dies in the middle of the second file."""

        calls = 0

        def encode_ordinary_batch(self, texts: list[str], **options: Any) -> Any:
            self.calls += 1
            if self.calls == 5:
                raise KeyboardInterrupt
            return encoding.encode_ordinary_batch(texts, **options)

    broken = tmp_path / "broken"
    with pytest.raises(KeyboardInterrupt):
        prepare_corpus(broken, FINEWEB, fetcher, Stops(), told, keep=False)
    assert missing(broken, TRAIN) == ["train.bin", "dev.bin"]
    prepare_corpus(broken, FINEWEB, fetcher, encoding, told, keep=False)
    for part in ("train/train.bin", "train/dev.bin", "heldout/heldout.bin"):
        at = f"fineweb10b/{part}"
        assert (broken / at).read_bytes() == (tmp_path / "at-once" / at).read_bytes()
    assert max(count for path, count in hub.asked.items() if path.endswith(".parquet")) == 1


def test_other_files_than_those_it_was_begun_with_are_not_mixed_in(
    fetcher: Fetcher, encoding: Any, told: Any, hub: Any, tmp_path: Path, documents: list[str]
) -> None:
    hub.files.popitem()

    class Stops:
        def encode_ordinary_batch(self, *_: Any, **__: Any) -> Any:
            raise KeyboardInterrupt

    prepare_corpus(tmp_path / "one", FINEWEB, fetcher, encoding, told, keep=True)
    making = tmp_path / ".making" / "fineweb10b"
    making.mkdir(parents=True)
    (making / "state.json").write_text(json.dumps({"sources": ["other"], "done": 1, "bytes": {}}))
    with pytest.raises(DataError, match="begun with other files"):
        prepare_corpus(tmp_path, FINEWEB, fetcher, Stops(), told, keep=False)
    assert documents


@pytest.mark.usefixtures("benchmarks")
def test_the_evaluator_reads_what_was_prepared(hub: Any, tmp_path: Path) -> None:
    shown = data_prepare(tmp_path, "wikitext2", "lambada", "lm-eval", "--from", hub.url)
    assert shown.returncode == 0, shown.stderr
    heldout = tmp_path / HELDOUT
    assert read_texts(heldout / "wikitext2.jsonl") == [row["page"] for row in ROWS["wikitext2.jsonl"]]
    assert read_texts(heldout / "lambada.jsonl") == ["the last word"]
    for task in TASKS:
        (item,) = [json.loads(line) for line in (heldout / f"{task.name}.jsonl").read_text().splitlines()]
        assert item.items() <= ROWS[f"{task.name}.jsonl"][0].items()
    assert missing(tmp_path, HELDOUT) == [*EXPECTED[HELDOUT][:3]]
    assert len(json.loads((tmp_path / NAME).read_text())["sha256"]) == len(ROWS)
    _, items = run_tasks(Indifferent(), Bytes(), 64, heldout, samples=16)
    assert items == dict.fromkeys((task.name for task in TASKS), 1)


class Indifferent:
    """Stands where the model is asked: every token is as likely as any other."""

    def score(self, *sets: Any) -> Any:
        from runner.inside.judge.passages import PassageScore

        return [[PassageScore(-float(passage.scored), False) for passage in one.passages] for one in sets]


class Bytes:
    prefix_token = 10

    def encode(self, text: str) -> list[int]:
        return list(text.encode())


@pytest.mark.usefixtures("benchmarks")
def test_what_is_there_is_not_fetched_again(hub: Any, tmp_path: Path) -> None:
    assert data_prepare(tmp_path, "lambada", "--from", hub.url).returncode == 0
    hub.asked.clear()
    assert data_prepare(tmp_path, "lambada", "--from", hub.url).returncode == 0
    assert not hub.asked


@pytest.mark.usefixtures("benchmarks")
def test_a_column_that_is_missing_is_named(hub: Any, tmp_path: Path) -> None:
    hub.add_parquet(LAMBADA.source.repo, LAMBADA.source.path, [{"txt": "a"}], CONVERTED, "0000.parquet")
    shown = data_prepare(tmp_path, "lambada", "--from", hub.url)
    assert shown.returncode == 1
    assert "has no column text; it has txt" in shown.stderr
    assert "Traceback" not in shown.stderr


def test_a_data_set_that_is_not_there_is_an_error_without_traceback(hub: Any, tmp_path: Path) -> None:
    shown = data_prepare(tmp_path, "wikitext2", "--from", hub.url)
    assert shown.returncode == 1
    assert "the server answers 404" in shown.stderr
    assert "Traceback" not in shown.stderr


def test_forged_tokenizer_files_are_refused(fetcher: Fetcher, hub: Any, tmp_path: Path) -> None:
    for remote in FILES:
        hub.files[remote.url.split("/", 3)[3]] = b"forged"
    with pytest.raises(DataError, match=str(FILES[0].sha256)):
        prepare_tokenizer(fetcher, tmp_path / HELDOUT)


def test_one_preparation_at_a_time(tmp_path: Path) -> None:
    import fcntl

    with (tmp_path / ".preparing").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shown = data_prepare(tmp_path, "smoke")
    assert shown.returncode == 1
    assert "another `ringfence data prepare` is at work" in shown.stderr


def test_the_smoke_data_needs_no_network(tmp_path: Path) -> None:
    shown = data_prepare(tmp_path, "smoke", "--from", "http://127.0.0.1:1")
    assert shown.returncode == 0, shown.stderr
    assert (tmp_path / "smoke" / "train" / "train.bin").is_file()


def test_a_mirror_needs_a_scheme(tmp_path: Path) -> None:
    shown = data_prepare(tmp_path, "lambada", "--from", "mirror.example")
    assert shown.returncode == 2
    assert "https://mirror.example" in shown.stderr


def data_prepare(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "env.cli", "data", "prepare", *arguments, "--data", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_an_evaluator_without_tokenizer_files_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "tokenizer").mkdir()
    code = "import sys, pathlib as p, runner.inside.judge.tokenizer as t; t.load_tokenizer('gpt2', p.Path(sys.argv[1]))"
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:1", "PATH": os.environ["PATH"]}
    tried = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, env=nowhere)
    assert "SetupFault" in tried.stderr
    assert "ringfence data prepare fineweb10b" in tried.stderr


def test_a_folder_of_an_earlier_version_stays_as_it_is_and_is_told_that_it_has_no_reserve(
    fetcher: Fetcher, encoding: Any, told: Any, hub: Any, tmp_path: Path
) -> None:
    for folder, files in ((TRAIN, ("train.bin", "dev.bin")), (HELDOUT, ("heldout.bin",))):
        (tmp_path / folder).mkdir(parents=True)
        for name in files:
            (tmp_path / folder / name).write_bytes(b"ab")
    prepare_corpus(tmp_path, FINEWEB, fetcher, encoding, told, keep=False)
    assert not hub.asked
    assert not (tmp_path / RESERVE).exists()
    assert missing(tmp_path, RESERVE) == ["reserve.bin"]
    assert "fineweb10b has no reserve" in told.lines[-1]


FEW = Corpus(**{**vars(CLIMBMIX), "files": 3})
SHARDS = 5


@pytest.fixture
def shards(hub: Any) -> list[list[str]]:
    """Five files as ClimbMix has them, listed in pages of two; of the last one some documents are in others as well."""
    rng = random.Random(9)
    of_each = [[f"Document {shard}-{n}: {rng.randbytes(12).hex()}" for n in range(800)] for shard in range(SHARDS)]
    of_each[1][:40] = of_each[-1][:40]
    of_each[2][5] = of_each[0][5]
    for number, texts in enumerate(of_each):
        rows = [{"text": text} for text in texts]
        hub.add_parquet(CLIMBMIX.source.repo, "", rows, CLIMBMIX.source.revision, f"shard_{number:05}.parquet")
    hub.page = 2
    return of_each


def test_climbmix_holds_its_last_file_out_and_trains_on_nothing_of_it(
    fetcher: Fetcher, encoding: Any, told: Any, tmp_path: Path, hub: Any, shards: list[list[str]]
) -> None:
    prepare_corpus(tmp_path, FEW, fetcher, encoding, told, keep=False)
    train, dev, heldout, reserve = (
        texts_in(tmp_path / "climbmix" / file)
        for file in ("train/train.bin", "train/dev.bin", "heldout/heldout.bin", "reserve/reserve.bin")
    )
    assert heldout == shards[-1]
    assert set(train) | set(dev) | set(reserve) == set(shards[0] + shards[1] + shards[2]) - set(heldout)
    assert not set(train) & set(dev) | set(train) & set(reserve) | set(dev) & set(reserve)
    assert dev
    assert len(train) > 20 * len(reserve) > 0
    fetched = {path.rsplit("/", 1)[1] for path in hub.sent if path.endswith(".parquet")}
    assert fetched == {"shard_00000.parquet", "shard_00001.parquet", "shard_00002.parquet", "shard_00004.parquet"}
    assert not list((tmp_path / ".downloads").rglob("*.parquet"))
    assert not (tmp_path / ".making" / "climbmix").exists()
    assert {path.name for path in (tmp_path / "climbmix").iterdir()} == {"train", "heldout", "reserve"}


def test_climbmix_broken_off_goes_on_without_its_last_file_and_gives_the_same_bytes(
    fetcher: Fetcher, encoding: Any, told: Any, tmp_path: Path, hub: Any, shards: list[list[str]]
) -> None:
    assert shards
    prepare_corpus(tmp_path / "at-once", FEW, fetcher, encoding, told, keep=False)
    hub.asked.clear()

    class Stops:
        calls = 0

        def encode_ordinary_batch(self, texts: list[str], **options: Any) -> Any:
            self.calls += 1
            if self.calls == 3:
                raise KeyboardInterrupt
            return encoding.encode_ordinary_batch(texts, **options)

    broken = tmp_path / "broken"
    with pytest.raises(KeyboardInterrupt):
        prepare_corpus(broken, FEW, fetcher, Stops(), told, keep=False)
    prepare_corpus(broken, FEW, fetcher, encoding, told, keep=False)
    for file in ("train/train.bin", "train/dev.bin", "heldout/heldout.bin", "reserve/reserve.bin"):
        assert (broken / "climbmix" / file).read_bytes() == (tmp_path / "at-once" / "climbmix" / file).read_bytes()
    assert max(count for path, count in hub.asked.items() if path.endswith(".parquet")) == 1


@pytest.mark.usefixtures("benchmarks")
def test_evaluation_sets_go_beside_the_text_they_are_prepared_for(hub: Any, tmp_path: Path) -> None:
    shown = data_prepare(tmp_path, "lambada", "wikitext2", "--data-set", "climbmix", "--from", hub.url)
    assert shown.returncode == 0, shown.stderr
    assert read_texts(tmp_path / "climbmix/heldout/lambada.jsonl") == ["the last word"]
    assert not (tmp_path / HELDOUT).exists()
    assert "lambada.jsonl" not in missing(tmp_path, "climbmix/heldout")
    assert "heldout.bin" in missing(tmp_path, "climbmix/heldout")


def test_a_data_set_alone_means_everything_that_a_scale_needs_with_it(hub: Any, tmp_path: Path) -> None:
    shown = data_prepare(tmp_path, "--data-set", "climbmix", "--from", hub.url)
    assert shown.returncode == 1  # the hub is empty
    assert "wikitext_document_level" in shown.stderr
    assert (tmp_path / "smoke").is_dir()
    assert needed_for("climbmix") == ("smoke", "wikitext2", "lambada", "lm-eval", "climbmix")
    assert set(CORPORA) == set(TextData)


def test_a_listing_that_goes_round_in_circles_is_refused(fetcher: Fetcher, hub: Any, shards: list[list[str]]) -> None:
    assert shards
    hub.page = 0
    with pytest.raises(DataError, match="a later page of itself"):
        fetcher.listing(CLIMBMIX.source.listing_url)
