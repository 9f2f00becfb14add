"""Text to token ids, as the models were trained on them."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any, Protocol

from runner.inside.faults import SetupFault


class Tokenizer(Protocol):
    prefix_token: int
    """The token that stands before the first of a text, so that it too has something to be conditioned on."""

    def encode(self, text: str) -> list[int]:
        """Token ids of a text; special tokens in it are ordinary characters."""


class ByteTokenizer:
    """One token per UTF-8 byte, ids 0-255."""

    prefix_token = 10
    """The newline: every text the smoke model has seen started after one."""

    def encode(self, text: str) -> list[int]:
        return list(text.encode())


class Gpt2Tokenizer:
    """The byte-pair encoding of GPT-2 (Radford et al. 2019), ids 0-50256."""

    prefix_token = 50256
    """<|endoftext|>, which separates documents in the training data."""

    def __init__(self, files: Path) -> None:
        """`files`: the folder `ringfence data prepare` fills; without it, wherever tiktoken finds its files itself."""
        try:
            tiktoken: Any = importlib.import_module("tiktoken")
        except ImportError:
            raise SetupFault("TOKENIZER", "gpt2 needs the package tiktoken") from None
        if files.is_dir():
            os.environ["TIKTOKEN_CACHE_DIR"] = str(files)
        try:
            self._encoding = tiktoken.get_encoding("gpt2")
        except (OSError, ValueError) as error:  # it looked for them on the internet, or found others
            reason = f"GPT-2's files are not in {files}: make them with `ringfence data prepare fineweb10b`"
            raise SetupFault("TOKENIZER", reason) from error

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._encoding.encode_ordinary(text)
        return ids


def load_tokenizer(name: str, data_dir: Path) -> Tokenizer:
    """`bytes` or `gpt2`, whose files are in `data_dir/tokenizer`. Raises SetupFault when something is missing."""
    return ByteTokenizer() if name == "bytes" else Gpt2Tokenizer(data_dir / "tokenizer")
