"""A small corpus in GPT-2 tokens: Python's standard library, in the layout of the full-scale data. Usage: corpus.py DIR

Needs tiktoken and its GPT-2 files in TIKTOKEN_CACHE_DIR.
"""

from __future__ import annotations

import json
import sys
import sysconfig
from pathlib import Path

import numpy as np
import tiktoken

END_OF_TEXT = 50256
SPLITS = {0: "heldout", 1: "dev", **dict.fromkeys(range(2, 8), "exam")}
"""What one file in twenty is for; the others are trained on."""
PASSAGES, PASSAGE = 2048, 1025


def main(out: Path) -> None:
    encoding = tiktoken.get_encoding("gpt2")
    sources = sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py"))
    sources = [path for path in sources if "site-packages" not in path.parts and path.stat().st_size < 200_000]
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in sources]
    splits: dict[str, list[int]] = {"train": [], "dev": [], "heldout": [], "exam": []}
    for number, tokens in enumerate(encoding.encode_ordinary_batch(texts)):
        split = SPLITS.get(number % 20, "train")
        splits[split] += [*tokens, END_OF_TEXT]
    for split, folder in (("train", "train"), ("dev", "train"), ("heldout", "heldout")):
        place = out / "fineweb10b" / folder
        place.mkdir(parents=True, exist_ok=True)
        np.array(splits[split], dtype="<u2").tofile(place / f"{split}.bin")
        print(f"{split}: {len(splits[split]):,} tokens")
    (out / "exam").mkdir(exist_ok=True)
    exam = np.array(splits["exam"][: PASSAGES * PASSAGE], dtype="<u2")
    exam[: len(exam) // PASSAGE * PASSAGE].tofile(out / "exam" / "exam.bin")
    print(f"exam: {len(exam) // PASSAGE:,} passages")
    documents = [text for number, text in enumerate(texts) if number % 20 == 0 and len(text) > 4000][:8]
    heldout = out / "fineweb10b" / "heldout"
    write_lines(heldout / "wikitext2.jsonl", [text[:4000] for text in documents])
    write_lines(heldout / "lambada.jsonl", [" ".join(text.split()[:60]) for text in documents])


def write_lines(path: Path, texts: list[str]) -> None:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
