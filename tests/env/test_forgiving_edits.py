"""Edits as models really send them: what is meant without doubt is done, and what misses is told why, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.service import Agent, Server

NORM = '    """LayerNorm but with an optional bias."""'
RETURN = "        return F.layer_norm(input, self.weight.shape, self.weight, self.bias, 1e-5)"
INIT = "    def __init__(self, ndim, bias):\n        super().__init__()\n"


@pytest.fixture
def agent(shared: Server) -> Agent:
    return shared.open()


def told(agent: Agent, **arguments: Any) -> str:
    return str(agent.call("edit", arguments).json()["observation"])


@pytest.mark.parametrize(
    ("old_str", "why"),
    [
        (
            "    24:     def __init__(self, ndim, bias):\n    25:         super().__init__()",
            "the listing's line numbers",
        ),
        ("    24      def __init__(self, ndim, bias):\n    25          super().__init__()", "stands at lines 24..25"),
        ("    23:     \u201c\u201c\u201cLayerNorm", "the listing's line numbers before its lines and curly quotes"),
        (NORM.replace('"', "\u201d"), "curly quotes where the file has straight ones; without, it stands at line 23."),
        (
            INIT.replace("\n", "\\n"),
            "escapes such as \\n written out as two characters; without, it stands at lines 24..25",
        ),
        (INIT.replace("    ", "\t"), "lines 24..25 in white space only: a line begins with 1 tab instead of 4 blanks."),
        (INIT.replace("    ", "  "), "white space only: a line begins with 2 blanks instead of 4 blanks."),
        (
            INIT.replace("\n", "  \n"),
            "differs from lines 24..25 in white space only: old_str has blanks at a line's end.",
        ),
        (RETURN.replace(", ", ","), "differs from line 31 in white space only: within a line."),
        (
            INIT + "        self.gain = 1\n",
            "Its first 2 line(s) fit at line 24, but line 26 of the file is `self.weight =",
        ),
    ],
)
def test_a_text_that_is_not_there_is_told_why(agent: Agent, old_str: str, why: str) -> None:
    if "line 31" in why:
        why = why.replace("line 31", f"line {agent.opened['files'][0]['text'].split(chr(10)).index(RETURN) + 1}")
    answer = told(agent, op="str_replace", old_str=old_str, new_str="x")
    assert answer.startswith("ERROR: old_str does not occur in the file; it must match exactly, indentation included. ")
    assert why in answer
    assert answer.endswith("You may only edit lines 22–31, 88–100, 245–247.")


def test_nothing_like_it_is_told_as_before(agent: Agent) -> None:
    for old_str in ("nowhere", "nowhere\nat all", "x" * 30_000, "\\n", "  \t "):
        answer = told(agent, old_str=old_str, new_str="x")
        assert answer.startswith("ERROR: old_str ")
        assert "You may only edit lines" in answer


def test_several_places_are_shown(agent: Agent) -> None:
    answer = told(agent, old_str="nn.Parameter(", new_str="x")
    assert "occurs 2 times in the editable range, at lines 26, 27; it must occur exactly once." in answer
    assert (
        "\n    26          self.weight = nn.Parameter(torch.ones(ndim))\n    27          self.bias = nn.Param" in answer
    )


@pytest.mark.parametrize(
    ("arguments", "done"),
    [
        ({"old_str": NORM, "new_str": ""}, "OK: Replaced old_str at line 23 in"),
        ({"after_line": 22, "content": "    pass"}, "OK: Inserted 1 line(s) after line 22 in"),
        ({"start_line": "22", "end_line": " 31 ", "content": ""}, "OK: Replaced lines 22..31 with 0 line(s) in"),
        ({"op": "", "filename": "", "after_line": 22.0, "content": "    pass", "start_line": None}, "OK: Inserted 1"),
        ({"start_line": 22, "end_line": 22, "content": "x", "old_str": "", "new_str": ""}, "OK: Replaced lines 22..22"),
        ({"op": "insert", "after_line": "22", "content": "    pass", "end_line": ""}, "OK: Inserted 1 line(s) after"),
    ],
)
def test_what_leaves_no_doubt_is_done(agent: Agent, arguments: dict[str, Any], done: str) -> None:
    assert told(agent, **arguments).startswith(done)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"start_line": True, "end_line": 31, "content": ""}, "start_line: Input should be a number"),
        ({"start_line": "22.5", "end_line": 31, "content": ""}, "start_line: Input should be a valid integer"),
        ({"old_str": "x", "new_str": "y", "after_line": 3}, "edit needs op: "),
        ({"filename": "custom_pretrain.py", "content": "x"}, "edit needs op: "),
    ],
)
def test_doubt_is_refused(agent: Agent, arguments: dict[str, Any], why: str) -> None:
    assert why in told(agent, **arguments)
    assert agent.get().json()["revision"] == 0


def test_an_edit_by_older_numbers_shows_what_it_replaced(agent: Agent) -> None:
    told(agent, start_line=22, end_line=31, content="class LayerNorm(nn.LayerNorm):\n    pass\n")
    stale = told(agent, start_line=88, end_line=89, content="# gone")  # 80 to 92 now
    assert "[NOTE] The file has changed since these line numbers were last shown" in stale
    assert "The edit replaced this; undo takes the edit back:\n    88  " in stale
    beside = told(agent, op="insert", after_line=86, content="# new")
    assert "The new lines stand beside this one" in beside


def test_an_edit_by_the_numbers_last_shown_gets_no_note(agent: Agent) -> None:
    told(agent, start_line=22, end_line=31, content="class LayerNorm(nn.LayerNorm):\n    pass\n")
    assert "[NOTE]" not in told(agent, start_line=80, end_line=92, content="# whole range\n")
    agent.call("view", {"start_line": 220, "end_line": 230})
    first, last = agent.call("view", {}).json()["editable"][-1]
    assert "[NOTE]" not in told(agent, start_line=first + 1, end_line=last, content="    CONFIG_OVERRIDES = {}")
    assert "[NOTE]" not in told(agent, op="insert", after_line=21, content="# first")


def test_an_edit_that_changes_nothing_says_so(agent: Agent) -> None:
    answer = told(agent, start_line=23, end_line=23, content=NORM)
    assert answer.startswith("OK: Replaced lines 23..23 with 1 line(s) in ")
    assert answer.endswith("[NOTE] This changed nothing: the file held these lines already.")
    assert "ERROR: The edit would change nothing" in told(agent, old_str=NORM, new_str=NORM)
    assert "ERROR: content is empty" in told(agent, after_line=23, content="")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("{'learning_rate': -1e-3}", "learning_rate would be -0.001; learning_rate is a finite number, zero or more"),
        ("{'learning_rate': '1e-3'}", "`'1e-3'` is no number"),
        ("{'learning_rate': True}", "`True` is no number"),
        ("dict(min_lr=float('nan'))", "min_lr would be nan"),
        ("{'grad_clip': math.inf}", "grad_clip would be inf"),
        ("{'weight_decay': 1 - 2}", "weight_decay would be -1"),
        ("{'warmup_iters': 0.5}", "warmup_iters would be 0.5; warmup_iters is a whole number, zero or more"),
        ("{'weight_decay': [0.1]}", "`[0.1]` is no number"),
        ("{'weight_decay': None}", "`None` is no number"),
        ("{'learning_rate': 1 / 0}", "learning_rate would be nan"),
    ],
)
def test_settings_that_none_can_be_are_refused_before_a_test(agent: Agent, value: str, why: str) -> None:
    told(agent, start_line=247, end_line=247, content=f"    CONFIG_OVERRIDES = {value}")
    answer = agent.call("test").json()
    assert answer["observation"].startswith("ERROR: Line 247: CONFIG_OVERRIDES: ")
    assert why in answer["observation"]
    assert agent.get().json()["budget"]["tests"] == 3


@pytest.mark.parametrize(
    "lines",
    [
        "    lr = 1e-3\n    CONFIG_OVERRIDES = {'learning_rate': lr, 'min_lr': lr / 10}",
        "    seed = 7\n    CONFIG_OVERRIDES = {'warmup_iters': int(max_iters * 0.06)}",
        "    CONFIG_OVERRIDES = {'warmup_iters': 100.0, 'learning_rate': 0, 'grad_clip': 2 ** -1}",
    ],
)
def test_settings_may_be_worked_out_under_names_that_fixed_code_binds_anew(shared: Server, lines: str) -> None:
    agent = shared.open()
    told(agent, start_line=247, end_line=247, content=lines)
    assert agent.call("test").json()["ok"]
