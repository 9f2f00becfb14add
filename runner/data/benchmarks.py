"""The public evaluation sets, from their rows on the Hub to the JSON lines that the evaluator reads."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.data.errors import DataError
from runner.data.fetch import Fetcher
from runner.data.hub import Folder, parquet_files, read_rows

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Benchmark:
    """One set: where its rows are, and what the evaluator reads of each."""

    file: str
    """The name of its file in the folder of the held-out data."""
    source: Folder
    columns: Sequence[str]
    item: Callable[[Row], Row] = dict
    """A row's item; the row itself where the harness's own task definition reads it."""


def _whole_page(row: Row) -> Row:
    """An article with the data set's own spacing: the evaluator counts words as they stand there."""
    return {"text": row["page"]}


WIKITEXT2 = Benchmark(
    "wikitext2.jsonl",
    Folder("EleutherAI/wikitext_document_level", "wikitext-2-raw-v1/test"),
    ("page",),
    _whole_page,
)
LAMBADA = Benchmark("lambada.jsonl", Folder("EleutherAI/lambada_openai", "default/test"), ("text",))
# Splits and columns are those that the definitions in lm_eval/tasks (lm-eval 0.4.13) score and read.
LM_EVAL = (
    Benchmark("arc_easy.jsonl", Folder("allenai/ai2_arc", "ARC-Easy/test"), ("question", "choices", "answerKey")),
    Benchmark(
        "hellaswag.jsonl",
        Folder("Rowan/hellaswag", "default/validation"),
        ("activity_label", "ctx_a", "ctx_b", "endings", "label"),
    ),
    Benchmark("piqa.jsonl", Folder("baber/piqa", "default/validation"), ("goal", "sol1", "sol2", "label")),
    Benchmark(
        "winogrande.jsonl",
        Folder("allenai/winogrande", "winogrande_xl/validation"),
        ("sentence", "option1", "option2", "answer"),
    ),
)


def prepare_benchmark(fetcher: Fetcher, benchmark: Benchmark, heldout: Path) -> Path:
    """Write the set's file into `heldout`; its path. Raises DataError."""
    target = heldout / benchmark.file
    fresh = heldout / f".{benchmark.file}"
    heldout.mkdir(parents=True, exist_ok=True)
    written = 0
    with fresh.open("w", encoding="utf-8") as out:
        for remote in parquet_files(fetcher, benchmark.source):
            for rows in read_rows(fetcher.fetch(remote), benchmark.columns):
                out.writelines(json.dumps(benchmark.item(row), ensure_ascii=False) + "\n" for row in rows)
                written += len(rows)
    if not written:
        raise DataError(target, f"{benchmark.source.repo} has no rows in {benchmark.source.path}")
    fresh.replace(target)
    return target
