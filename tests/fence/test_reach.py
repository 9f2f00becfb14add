"""Editable code that reaches for the run's settings or for other code's variables, and code that only looks like it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from env.document import Document
from env.fence import FenceViolation, check_source

if TYPE_CHECKING:
    from tests.fence.conftest import Script

ENVIRONMENT = "reaches for the process's environment"
FRAMES = "reaches for the variables of other code"


@pytest.mark.parametrize(
    ("statement", "name", "reason"),
    [
        ('os.environ["MAX_ITERS"] = "180"', "environ", ENVIRONMENT),
        ('os.environ.update({"BATCH_SIZE": "64"})', "environ", ENVIRONMENT),
        ('iterations = os.environ.get("MAX_ITERS")', "environ", ENVIRONMENT),
        ('os.environb[b"MAX_ITERS"] = b"180"', "environb", ENVIRONMENT),
        ('os.putenv("MAX_ITERS", "180")', "putenv", ENVIRONMENT),
        ('os.unsetenv("MAX_ITERS")', "unsetenv", ENVIRONMENT),
        ("from os import environ", "environ", ENVIRONMENT),
        ("from os import path, environ as settings", "environ", ENVIRONMENT),
        ("from posix import putenv as put", "putenv", ENVIRONMENT),
        ('settings = getattr(os, "environ")', "environ", ENVIRONMENT),
        ('settings = getattr(os, "env" "iron")', "environ", ENVIRONMENT),
        ('settings = vars(os)["environ"]', "environ", ENVIRONMENT),
        ('settings = operator.attrgetter("environ.data")(os)', "environ", ENVIRONMENT),
        ('note = f"{os.environ}"', "environ", ENVIRONMENT),
        ("reader = lambda: [os.environ for _ in range(1)]", "environ", ENVIRONMENT),
        ("def reader(settings=os.environ): return settings", "environ", ENVIRONMENT),
        ("frame = sys._getframe(1)", "_getframe", FRAMES),
        ("frames = sys._current_frames()", "_current_frames", FRAMES),
        ("frame = inspect.currentframe()", "currentframe", FRAMES),
        ("frames = inspect.stack()", "stack", FRAMES),
        ("import inspect as i; frames = i.stack()", "stack", FRAMES),
        ("from inspect import signature, stack", "stack", FRAMES),
        ("from inspect import trace as t", "trace", FRAMES),
        ("caller = frame.f_back", "f_back", FRAMES),
        ('frame.f_locals["max_iters"] = 180', "f_locals", FRAMES),
        ('frame.f_globals["train"] = None', "f_globals", FRAMES),
        ("frame = error.__traceback__.tb_frame", "tb_frame", FRAMES),
        ("names = LayerNorm.forward.__globals__", "__globals__", FRAMES),
        ("everything = gc.get_objects()", "get_objects", FRAMES),
        ("users = gc.get_referrers(nn.Module)", "get_referrers", FRAMES),
        ('frame = getattr(sys, "_getframe")(1)', "_getframe", FRAMES),
    ],
)
def test_reaching_out_is_refused(script: Script, statement: str, name: str, reason: str) -> None:
    with pytest.raises(FenceViolation) as caught:
        script.check(norm=f"import operator, gc, os, sys\n{statement}\n<own>")
    assert (caught.value.code, caught.value.line) == ("reach", 13)
    assert caught.value.message.startswith(f"In line 13 `{statement}`: `{name}` {reason}")
    assert "Use its arguments, `self` and the names that the file defines" in caught.value.message


def test_the_line_is_that_of_the_name(script: Script) -> None:
    with pytest.raises(FenceViolation) as caught:
        script.check(loop='<own>        x = (\n            os\n            .environ["A"]\n        )\n')
    assert caught.value.message.startswith('In line 67 `.environ["A"]`: `environ`')


@pytest.mark.parametrize(
    "statement",
    [
        "rows = torch.stack([torch.ones(2)])",
        "total = torch.trace(torch.eye(2))",
        "from torch import stack, trace",
        'fused = "fused" in inspect.signature(torch.optim.AdamW).parameters',
        'source = inspect.getsource(inspect.getmodule(nn.Linear)) if hasattr(inspect, "getsource") else ""',
        "gc.collect()",
        'ranks = int(os.getenv("WORLD_SIZE", "1"))',
        '"""Says nothing of os.environ, or of a frame\'s f_back."""',
        "# os.environ and sys._getframe",
        'print("environ is not touched")',
        "class Stack: stack = trace = environment = frame = None",
        "def held(stack, trace): return stack.append(trace)",
    ],
)
def test_what_only_looks_like_it_passes(script: Script, statement: str) -> None:
    script.check(norm=f"import gc, inspect, os\n{statement}\n<own>")


def test_fixed_code_may_use_what_it_likes(fenced: Callable[..., Document]) -> None:
    original = fenced("import os\n", "x = 1\n", 'y = os.environ["MAX_ITERS"]\n')
    check_source(original, original.with_segment(0, ("x = 2",)), override_keys=())


def test_what_a_range_was_given_it_may_keep(fenced: Callable[..., Document]) -> None:
    original = fenced("import os\n", 'x = os.environ.get("A")\n', "y = 2\n", "z = 3\n", "")
    check_source(original, original.with_segment(0, ('x = os.environ.get("B")',)), override_keys=())
    with pytest.raises(FenceViolation, match=r"`putenv` reaches"):
        check_source(original, original.with_segment(0, ('os.putenv("A", "1")',)), override_keys=())
    with pytest.raises(FenceViolation, match=r"line 4 .*`environ` reaches"):
        check_source(original, original.with_segment(1, ("z = os.environ",)), override_keys=())


def test_a_range_within_an_expression_is_looked_at_too(fenced: Callable[..., Document]) -> None:
    original = fenced("import os\nx = dict(\n", "    a=1,\n", ")\n")
    check_source(original, original.with_segment(0, ("    a=2,",)), override_keys=())
    with pytest.raises(FenceViolation, match=r"line 3 `a=os.environ,`: `environ` reaches"):
        check_source(original, original.with_segment(0, ("    a=os.environ,",)), override_keys=())


def test_a_file_of_the_agents_own_is_looked_at_too() -> None:
    text = 'import os\nos.environ["MAX_ITERS"] = "180"\n'
    with pytest.raises(FenceViolation, match=r"line 2 .*`environ` reaches"):
        check_source(None, Document.open("own.py", text, [(1, 2)]), override_keys=())
