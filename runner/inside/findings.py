"""What a rehearsal may say: a closed list of sentences, and a few figures.

A rehearsal runs the agent's code, which could spell anything it came to know in a message of its own. So its report
names entries of these lists, line numbers of the agent's own file, lengths and a count of parameters, and nothing else.
This module imports nothing of ours, so that whoever writes a report and whoever words it can both have it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum

REPORT = "rehearsal.json"
"""The report's name in the output folder: `{"parameters": number or null, "findings": [finding, …]}`, at most one
finding for each part; where the task asks, also `"cost": {"rise": number or null, "subquadratic": bool or null}`."""
MAX_LINES = 3
"""How many lines of the agent's file a finding names, the innermost last."""
OTHER_ERROR = "another type"
"""What an exception is called that is none of ERRORS."""


class Part(StrEnum):
    """What a rehearsal looks at."""

    SIZE = "size"  # the parameters of the model at its real size
    LENGTHS = "lengths"  # whether it takes the lengths that evaluations ask about
    TRAINING = "training"  # two optimizer steps in two processes
    COST = "cost"  # how its work grows with the length of its input, where the task asks
    CAUSALITY = "causality"  # whether its checkpoint can be loaded, and looks at earlier tokens only


BEFORE_A_TEST = (Part.SIZE, Part.LENGTHS)
"""Parts that have to pass before a test is spent; their findings leave no doubt."""


class FindingKind(StrEnum):
    """What was found."""

    RAISED = "raised"  # an exception in the agent's code
    ENDED = "ended"  # its process ended by itself, or was killed
    LATE = "late"  # it took too long
    TOO_LARGE = "too-large"  # more parameters than allowed
    SILENT = "silent"  # the training reported no finite loss
    CHECKPOINT = "checkpoint"  # the training left no checkpoint that can be evaluated
    LEAKS = "leaks"  # later tokens change what is expected at a position
    NEEDS_GPU = "needs-gpu"  # it cannot run on a CPU, where rehearsals do


ERRORS = frozenset(
    {
        *("ArithmeticError", "AssertionError", "AttributeError", "DistBackendError", "EOFError", "FileNotFoundError"),
        *("FloatingPointError", "ImportError", "IndexError", "IsADirectoryError", "KeyError", "KeyboardInterrupt"),
        *("LinAlgError", "LookupError", "MemoryError", "ModelError", "ModuleNotFoundError", "NameError"),
        *("NotADirectoryError", "NotImplementedError", "OSError", "OutOfMemoryError", "OverflowError"),
        *("PermissionError", "RecursionError", "RuntimeError", "SafetensorError", "StopIteration", "SyntaxError"),
        *("SystemExit", "TimeoutError", "TypeError", "UnboundLocalError", "UnicodeError", "ValueError"),
        *("ZeroDivisionError",),
    }
)
"""Names of exceptions that are told; another's could be anything."""

_FORMS: Mapping[str, tuple[str, str]] = {
    "matrices": (
        r"shapes cannot be multiplied|mat1 and mat2|size mismatch|batch1 to be",
        "matrices are multiplied whose sizes do not fit",
    ),
    "sizes": (
        r"must match the (?:existing )?size|must match except in dimension|Sizes of tensors|are not broadcastable",
        "tensors are combined whose sizes do not match",
    ),
    "shape": (
        r"is invalid for input of size|view size is not compatible|split_with_sizes|number of dimensions",
        "a tensor is given a shape that it cannot have",
    ),
    "norm": (r"normalized_shape", "a normalization meets another size than it was made for"),
    "logits": (r"must return \(logits, loss\)", "GPT.forward(idx) must return (logits, loss), logits of (B, T, vocab)"),
    "no-gpt": (r"defines no GPT|is not a torch\.nn\.Module", "the script must define GPT and GPTConfig, as it did"),
    "dtypes": (
        r"same dtype|expected (?:m1 and m2 to have|scalar type)|to have the same type|Long but found|Float but found",
        "tensors of different types are combined",
    ),
    "devices": (r"on the same device", "tensors on different devices are combined"),
    "index": (r"out of range|out of bounds", "an index lies outside what it is used on"),
    "unused": (
        r"finished reduction in the prior iteration|not used in producing (?:the )?loss|not receive grad",
        "parameters take no part in the loss, which training in several processes does not allow",
    ),
    "in-place": (r"modified by an inplace operation|in-place operation", "a tensor is changed that a gradient needs"),
    "twice": (r"backward through the graph a second time", "something is kept from one step's graph to the next"),
    "no-grad": (r"does not require grad", "a gradient is asked of something that has none"),
    "arguments": (
        r"missing \d+ required|positional arguments? but|unexpected keyword|multiple values for|got an unexpected",
        "a function is called with arguments that it does not take",
    ),
    "name": (r"is not defined|referenced before assignment|not associated with a value", "a name has no value there"),
    "attribute": (r"has no attribute", "an attribute is used that is not there"),
    "module-init": (r"before Module\.__init__", "super().__init__() must come before modules and parameters are set"),
    "no-module": (r"No module named|cannot import name", "a module or name is imported that is not installed"),
    "block": (r"do not fit the block size", "more tokens were given than the block size"),
    "overrides": (r"^CONFIG_OVERRIDES has", "CONFIG_OVERRIDES has a key or a value that is not allowed"),
    "shared": (r"share memory|shared tensors", "tensors share memory in a way that a checkpoint cannot store"),
    "fit": (r"does not fit the model", "the checkpoint does not have the tensors that the model has"),
    "compiler": (r"[Cc]ompiler|g\+\+|ninja", "it wants to compile something, and there is no compiler"),
    "memory": (r"can't allocate memory|not enough memory|Unable to allocate", "there is not enough memory"),
}
"""Kinds of messages: what they are known by, and what is told instead."""
FORMS: Mapping[str, str] = {name: told for name, (_, told) in _FORMS.items()}
_GPU = re.compile(r"CUDA|NVIDIA|\bcuda\b|[Tt]riton|active drivers|libcuda|\bxla\b")


def form_of(message: str) -> str:
    """The key in FORMS of a message's kind; empty for one of no known kind."""
    start = message[:4000]
    return next((name for name, (pattern, _) in _FORMS.items() if re.search(pattern, start)), "")


def wants_gpu(message: str) -> bool:
    """Whether an exception tells of a GPU, or of what runs on GPUs only, that is not there."""
    return _GPU.search(message[:4000]) is not None
