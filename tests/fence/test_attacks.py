"""Edits that change what fixed code means, or take what is not theirs: refused by code, line and reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from env.document import Document
from env.fence import FenceViolation, check_source

if TYPE_CHECKING:
    from tests.fence.conftest import Script


def violation(script: Script, **texts: str) -> FenceViolation:
    with pytest.raises(FenceViolation) as caught:
        script.check(**texts)
    return caught.value


@pytest.mark.parametrize(
    ("texts", "line", "swallowed"),
    [
        ({"norm": '<own>x = """\n', "block": '"""\n<own>'}, 20, "line 22 `class Attention(nn.Module):`"),
        ({"init": "        note = f'''\n", "loop": "        '''\n"}, 50, "line 51 `self.apply(self._init_weights)`"),
        ({"init": "    if 0:\n"}, 50, "line 51 `self.apply"),
        ({"init": "    while 0:\n"}, 50, "line 51 `self.apply"),
        ({"init": "    for self in ():\n"}, 50, "line 51 `self.apply"),
        ({"init": "    with None:\n"}, 50, "line 51 `self.apply"),
        ({"init": "    class Hidden:\n"}, 50, "line 51 `self.apply"),
        ({"init": "    def never(self):\n        # hidden\n"}, 50, "line 52 `self.apply"),
        ({"init": "        pass\n    learned = 1\n    def more(self):\n        pass\n"}, 52, "line 54 `self.apply"),
        ({"init": "    if 1:\n        pass\n    else:\n"}, 50, "line 53 `self.apply"),
        ({"init": "    try:\n        pass\n    finally:\n"}, 50, "line 53 `self.apply"),
        ({"loop": "    def rest(self, x, targets):\n"}, 62, "line 63 `x = self.ln_f(x)`"),
        ({"norm": "<own>@torch.compile\n"}, 20, "line 22 `class Attention(nn.Module):`"),
        ({"optimizer": "<own>    @property\n"}, 74, "line 75 `def generate(self, x):`"),
        ({"optimizer": "def configure_optimizers(model):\n    pass\n"}, 69, "line 71 `def generate(self, x):`"),
        ({"optimizer": "<own>if 0:\n"}, 74, "line 75 `def generate(self, x):`"),
        ({"loop": "        x = \\\n"}, 62, "line 63 `x = self.ln_f(x)`"),
        ({"loop": "        x = 1; \\\n"}, 62, "line 63 `x = self.ln_f(x)`"),
        ({"loop": "        \\\n"}, 62, "line 63 `x = self.ln_f(x)`"),
        ({"norm": "<own>x = 1 \\\n"}, 20, "line 21 `# ── Attention`"),
    ],
)
def test_swallowing_fixed_code(script: Script, texts: dict[str, str], line: int, swallowed: str) -> None:
    found = violation(script, **texts)
    assert (found.code, found.line) == ("boundary", line)
    assert f"swallows fixed {swallowed}" in found.message


@pytest.mark.parametrize(
    ("texts", "line", "fragment"),
    [
        (
            {"loop": "        else:\n            x = 0\n"},
            63,
            "stand inside line 58 `def forward(self, x, targets=None):`",
        ),
        ({"loop": "        elif x is None:\n            x = 0\n"}, 62, "stand inside line 58 `def forward"),
        ({"block": "    def extra(self): pass\n\n<own>"}, 30, "stand at the top level of the file"),
    ],
)
def test_leaving_the_place_of_the_range(script: Script, texts: dict[str, str], line: int, fragment: str) -> None:
    found = violation(script, **texts)
    assert (found.code, found.line) == ("structure", line)
    assert fragment in found.message


@pytest.mark.parametrize(
    ("text", "line", "fragment"),
    [
        ("        x = (\n", 62, "'(' was never closed"),
        ('        x = """\n', 62, "unterminated triple-quoted string literal"),
        ("        if x:\n", 63, "expected an indented block after 'if' statement on line 62. That line is fixed, so"),
        ("    y = 1\n", 63, "unexpected indent. That line is fixed, so an edit before it is the cause"),
        ("        x = block x\n", 62, "Syntax error in line 62 `x = block x`: invalid syntax."),
        ("        def f():\n            pass\n        break\n", 64, "'break' outside loop."),
        ("        global x\n", 62, "name 'x' is parameter and global."),
        ("        x = " + "9" * 5000 + "\n", 62, "Exceeds the limit (4300 digits)"),
        ("\tx = 1\n", 62, "inconsistent use of tabs"),
    ],
)
def test_bad_syntax_is_shown_with_its_line(script: Script, text: str, line: int, fragment: str) -> None:
    found = violation(script, loop=text)
    assert (found.code, found.line) == ("syntax", line)
    assert fragment in found.message
    assert len(found.message) < 500


MODULE_BINDINGS = [
    "print = None",
    "len: int = 1",
    "F += 1",
    "F = ᶠ = 1",
    "ｐｒｉｎｔ = 1",
    "(a, [F, *b]) = 1, [2]",
    "def GPT(config): pass",
    "async def train(): pass",
    "class Config: pass",
    "import numpy as torch",
    "import os, builtins as math",
    "from custom import print",
    "from torch import nn as F",
    "import torch.nn.functional as nn",
    "for F in []: pass",
    "with open('x') as (math, y): pass",
    "(F := 1)",
    "[F := i for i in []]",
    "x = [(lambda a=(F := 1): a) for _ in ()]",
    "def helper(a=(F := 1)): pass",
    "@(F := id)\ndef helper(): pass",
    "match 1:\n    case F: pass",
    "match [1]:\n    case [*F]: pass",
    "match {}:\n    case {**F}: pass",
    "try: pass\nexcept OSError as F: pass",
    "try: pass\nexcept* OSError as F: pass",
    "if True:\n    for _ in ():\n        F = 0",
    "del F",
    "def helper():\n    def inner():\n        global F\n        F = 1",
    "class Helper:\n    global F\n    F = 1",
    "range = 0",
    "super = 0",
    "ZeroDivisionError = KeyError",
    "inspect = 0",
    "Attention = None",
    "__name__ = 'main'",
    "__builtins__ = None",
    "import builtins as __builtins__",
    "def __getattr__(name): pass",
    "from os import *",
]


@pytest.mark.parametrize("text", MODULE_BINDINGS)
def test_taking_a_name_of_the_fixed_module(script: Script, text: str) -> None:
    found = violation(script, norm=f"<own>{text}\n")
    assert found.code == "binding"
    assert 20 <= found.line <= 23
    assert f"In line {found.line} `" in found.message


@pytest.mark.parametrize(
    ("range_", "text", "fragment"),
    [
        ("optimizer", "<own>    def forward(self, x): return x\n", "`forward` belongs to the fixed code, see line 58"),
        ("optimizer", "<own>    _init_weights = None\n", "`_init_weights` belongs to the fixed code, see line 54"),
        ("optimizer", "<own>    @property\n    def ln_f(self): return abs\n", "`ln_f` belongs to the fixed code"),
        ("optimizer", "<own>    apply = print\n", "`apply` belongs to the fixed code, see line 52"),
        ("optimizer", "<own>    def __call__(self, x): return x\n", "__call__ is Python's own"),
        ("optimizer", "<own>    def f(self):\n        global F\n        F = 1\n", "`F` belongs to the fixed code"),
        (
            "loop",
            "        F = self\n",
            "`F` belongs to the fixed code, see line 64 `loss = F.cross_entropy(x, targets)`",
        ),
        ("loop", "        import numpy as F\n", "`F` belongs to the fixed code, see line 64"),
        (
            "loop",
            "        def f():\n            global print\n            print = id\n",
            "`print` belongs to the fixed",
        ),
        ("overrides", "<own>    max_iters = 1\n", "`max_iters` belongs to the fixed code, see line 84"),
        ("overrides", "<own>    settings = {}\n", "`settings` belongs to the fixed code, see line 86"),
        ("overrides", "<own>    def get_lr(*_): return 1\n", "`get_lr` belongs to the fixed code, see line 94"),
        ("overrides", "<own>    for max_iters in (): pass\n", "`max_iters` belongs to the fixed code, see line 84"),
        (
            "overrides",
            "<own>    def f():\n        nonlocal model\n        model = 1\n",
            "`model` belongs to the fixed code",
        ),
        ("overrides", "<own>    def f():\n        nonlocal max_iters\n        max_iters = 1\n", "`max_iters` belongs"),
        ("overrides", "<own>    class GPT: pass\n", "`GPT` belongs to the fixed code"),
    ],
)
def test_taking_a_name_of_a_fixed_class_or_function(script: Script, range_: str, text: str, fragment: str) -> None:
    found = violation(script, **{range_: text})
    assert found.code == "binding"
    assert fragment in found.message


@pytest.mark.parametrize(
    ("texts", "line", "message"),
    [
        (
            {"block": ""},
            30,
            "Block is used by fixed code at line 39 `self.blocks = nn.ModuleList([Block(config) for _ in "
            "range(config.depth)])` and must stay defined in the editable range 30–29.",
        ),
        (
            {"norm": "class RMSNorm(nn.Module):\n    pass\n"},
            12,
            "LayerNorm is used by fixed code at line 43 `self.ln_f = LayerNorm(config.width, bias=False)` "
            "and must stay defined in the editable range 12–13.",
        ),
        (
            {"optimizer": "    def configure(self): pass\n"},
            69,
            "configure_optimizers is used by fixed code at line 87 `optimizer = model.configure_optimizers(0.1)` "
            "and must stay defined in the editable range 69–69.",
        ),
    ],
)
def test_dropping_a_name_that_fixed_code_needs(script: Script, texts: dict[str, str], line: int, message: str) -> None:
    found = violation(script, **texts)
    assert (found.code, found.line, found.message) == ("missing", line, message)


ALLOWED = "Allowed keys: learning_rate, weight_decay, warmup_iters, min_lr, grad_clip."


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("CONFIG_OVERRIDES = {'max_iters': 5}", 87, f"unknown key 'max_iters'. {ALLOWED}"),
        ("CONFIG_OVERRIDES = {\n        'min_lr': 0,\n        'seed': 5,\n    }", 89, f"unknown key 'seed'. {ALLOWED}"),
        ("CONFIG_OVERRIDES = dict(min_lr=0, max_iters=5)", 87, f"unknown key 'max_iters'. {ALLOWED}"),
        ("CONFIG_OVERRIDES: dict = {'max_iters': 5}", 87, f"unknown key 'max_iters'. {ALLOWED}"),
        ("CONFIG_OVERRIDES = {'min_lr': 0, 'min_lr': 1}", 87, f"key 'min_lr' is given twice. {ALLOWED}"),
        ("CONFIG_OVERRIDES = {**{'min_lr': 0}}", 87, f"every key must be written out as a string. {ALLOWED}"),
        ("CONFIG_OVERRIDES = {'min' + '_lr': 0}", 87, f"every key must be written out as a string. {ALLOWED}"),
        ("CONFIG_OVERRIDES = {1: 0}", 87, f"every key must be written out as a string. {ALLOWED}"),
        ("CONFIG_OVERRIDES = dict(**{'min_lr': 0})", 87, f"every key must be written out as a string. {ALLOWED}"),
        ("CONFIG_OVERRIDES = dict([('min_lr', 0)])", 87, f"every key must be written out as a string. {ALLOWED}"),
        ("if max_iters:\n        CONFIG_OVERRIDES = {'x': 0}", 88, f"unknown key 'x'. {ALLOWED}"),
    ],
)
def test_overrides_of_other_settings(script: Script, text: str, line: int, message: str) -> None:
    found = violation(script, overrides=f"    {text}\n")
    assert (found.code, found.line) == ("overrides", line)
    assert found.message == f"Line {line}: CONFIG_OVERRIDES: {message}"


@pytest.mark.parametrize("text", ["", "    # nothing\n", "    CONFIG_OVERRIDES: dict\n", "    overrides = {}\n"])
def test_overrides_must_be_assigned(script: Script, text: str) -> None:
    found = violation(script, overrides=text)
    assert (found.code, found.line) == ("overrides", 87)
    assert found.message.startswith("CONFIG_OVERRIDES must be assigned in the editable range 87–")


@pytest.mark.parametrize("line", ["# -*- coding: latin-1 -*-", "# vim: set fileencoding=utf-7 :", "# coding: nonsense"])
def test_another_encoding_than_utf_8(fenced: Callable[..., Document], line: str) -> None:
    original = fenced("#!/usr/bin/env python\n", "# free\n", "x = 1\n")
    with pytest.raises(FenceViolation) as caught:
        check_source(original, original.with_segment(0, (line,)), override_keys=())
    assert (caught.value.code, caught.value.line) == ("encoding", 2)
