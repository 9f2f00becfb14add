"""Text to token ids, as the models were trained on them."""

from __future__ import annotations

import importlib
from typing import Any, Protocol

from runner.inside.faults import SetupFault


class Tokenizer(Protocol):
    prefix_token: int
    """Stands before the first token of a text, so that it too has something to be conditioned on."""

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

    def __init__(self) -> None:
        try:
            tiktoken: Any = importlib.import_module("tiktoken")
        except ImportError:
            raise SetupFault("TOKENIZER", "gpt2 needs the package tiktoken") from None
        self._encoding = tiktoken.get_encoding("gpt2")

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._encoding.encode_ordinary(text)
        return ids


def load_tokenizer(name: str) -> Tokenizer:
    """`bytes` or `gpt2`. Raises SetupFault when its package is missing."""
    return ByteTokenizer() if name == "bytes" else Gpt2Tokenizer()
