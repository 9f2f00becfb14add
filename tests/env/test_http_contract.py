"""A session over HTTP, call by call: statuses, bodies and texts an agent relies on."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.service import TASK, Serve, Server

FILE = "nanoGPT/custom_pretrain.py"
RANGES = [[22, 31], [88, 100], [245, 247]]
SLOW = {"op": "replace", "start_line": 246, "end_line": 246, "content": "    # fake: seconds=30\n"}
NO_HOURS = {"gpu_hours": None, "gpu_hours_used": None}

OPERATORS_TASK = """\
id = "my-task"
title = "A task of one's own"
template = "custom.py"
filename = "pkg/custom.py"
editable = [[3, 14], [20, 22]]
allow_create = true
[budget]
tests = 3
steps = 3
[[scales.smoke.stages]]
label = "gpt-smoke"
script = "scripts/gpt_smoke.sh"
"""


@pytest.fixture
def service(shared: Server) -> Any:
    return shared


@pytest.fixture
def own_task(serve: Serve, tmp_path: Path) -> Server:
    """A service with an operator's task `my-task` on top of the built-in ones."""
    folder = tmp_path / "tasks" / "my-task"
    (folder / "scripts").mkdir(parents=True)
    (folder / "task.toml").write_text(OPERATORS_TASK)
    (folder / "description.md").write_text("Make it better.\n")
    (folder / "custom.py").write_text("".join(f"x{line} = {line}\n" for line in range(1, 25)))
    (folder / "scripts" / "gpt_smoke.sh").write_text("python pkg/custom.py\n")
    return serve("--runner", "fake", "--tasks", str(tmp_path / "tasks"))


# --- opening --------------------------------------------------------------------------------------------------------


def test_opening_a_session_tells_an_agent_all_it_needs(service: Server) -> None:
    with service.client() as client:
        answer = client.post("/v1/sessions", json={"task": TASK, "agent": "tester", "metadata": {"run": [1, "a"]}})
    assert answer.status_code == 201
    opened = answer.json()
    assert set(opened) == {"session_id", "token", "task", "scale", "prompt", "tools", "budget", "files"}
    assert (opened["task"], opened["scale"]) == (TASK, "smoke")
    assert re.fullmatch(r"[0-9a-f]{16}", opened["session_id"])
    assert opened["token"].startswith("rf_")
    assert opened["budget"] == {"tests": 3, "tests_remaining": 3, "steps": 0, **NO_HOURS}
    [file] = opened["files"]
    assert (file["filename"], file["editable"], file["total_lines"]) == (FILE, RANGES, 437)
    assert file["text"].count("\n") == 437


def test_the_prompt_holds_the_file_its_ranges_the_evaluation_and_the_budget(service: Server) -> None:
    prompt = service.open().opened["prompt"]
    lines = prompt.splitlines()
    assert f"{FILE} [EDITABLE — lines 22–31, lines 88–100, lines 245–247 only]" in lines
    assert '     1: """Custom GPT-2 Pretraining Script' in lines
    assert '     3: """' in lines
    assert "    22: class LayerNorm(nn.Module):" in lines
    assert "   437:     train()" in lines
    assert "- `gpt-smoke`: `bash scripts/gpt_smoke.sh`, at most 2 min" in lines
    assert "- `lm-eval-smoke`: `bash scripts/lm_eval_smoke.sh`, at most 5 min" in lines
    assert "- 3 test(s). A test that is refused for a mistake in the file costs nothing." in lines
    keys = "learning_rate, weight_decay, warmup_iters, min_lr, grad_clip"
    assert f"`CONFIG_OVERRIDES` may carry the keys {keys}, and no others." in lines
    for tool in ("edit", "view", "undo", "test", "submit"):
        assert f"`{tool}" in prompt


def test_the_scale_can_be_chosen(service: Server) -> None:
    opened = service.open(scale="gpt-345m").opened
    assert opened["scale"] == "gpt-345m"
    assert "`gpt-345m`: `bash scripts/gpt_345m.sh`, at most 10.7 h" in opened["prompt"]
    assert "smoke" not in opened["prompt"]


def test_tools_come_in_function_calling_form(service: Server) -> None:
    with service.client() as client:
        tools = client.get("/v1/tools").json()["tools"]
    offered = service.open(scale="gpt-345m").opened["tools"]
    assert tools == offered  # with probes, as that scale has a proxy
    by_name = {tool["function"]["name"]: tool["function"] for tool in tools}
    assert all(tool["type"] == "function" for tool in tools)
    assert {"edit", "view", "undo", "test", "submit"} <= by_name.keys()
    for function in by_name.values():
        assert set(function) == {"name", "description", "parameters"}
        assert function["parameters"]["type"] == "object"
        assert function["parameters"]["additionalProperties"] is False
        assert all({"type"} <= set(value) for value in function["parameters"]["properties"].values())
    assert by_name["test"]["parameters"]["properties"] == {}
    assert by_name["submit"]["parameters"]["required"] == ["n"]
    edit = by_name["edit"]["parameters"]["properties"]
    assert edit["op"]["enum"] == ["replace", "insert", "str_replace", "create"]
    assert edit["start_line"]["type"] == "integer"
    assert set(edit) == {"op", "filename", "start_line", "end_line", "after_line", "content", "old_str", "new_str"}


def test_tasks_can_be_read_without_a_session(service: Server) -> None:
    with service.client() as client:
        tasks = client.get("/v1/tasks").json()["tasks"]
        task = client.get(f"/v1/tasks/{TASK}").json()
        unknown = client.get("/v1/tasks/nope")
    assert {"id": TASK, "title": task["title"], "scales": ["smoke", "gpt-124m", "gpt-345m"], "filename": FILE} in tasks
    assert len(tasks) == 9
    assert task["editable"] == RANGES
    assert task["budget"] == {"tests": 3, "steps": 0, "checks": 10, "probes": 6, "gpu_hours": None}
    assert task["text"].count("\n") == 437
    assert [stage["label"] for stage in task["scale_details"]["smoke"]["stages"]] == ["gpt-smoke", "lm-eval-smoke"]
    assert unknown.status_code == 404
    assert TASK in unknown.json()["observation"]


# --- editing --------------------------------------------------------------------------------------------------------


def test_an_edit_shows_where_the_ranges_are_now(service: Server) -> None:
    agent = service.open()
    new = "class LayerNorm(nn.Module):\n" + "".join(f"    # line {n}\n" for n in range(2, 18))
    answer = agent.call("edit", {"op": "replace", "start_line": 22, "end_line": 31, "content": new, "filename": FILE})
    assert answer.status_code == 200
    body = answer.json()
    lines = body.pop("observation").splitlines()
    assert lines[:2] == [
        f"OK: Replaced lines 22..31 with 17 line(s) in {FILE}. Editable range: 22–38, 95–107, 252–254.",
        "",
    ]
    assert lines[2:11] == [
        f"[Current file: {FILE} | editable: 22–38, 95–107, 252–254 | total: 444 lines]",
        "    22  class LayerNorm(nn.Module):",
        "    23      # line 2",
        "    24      # line 3",
        "       ... (11 more lines) ...",
        "    36      # line 15",
        "    37      # line 16",
        "    38      # line 17",
        "...",
    ]
    assert body == {"ok": True, "editable": [[22, 38], [95, 107], [252, 254]], "total_lines": 444, "revision": 1}
    assert agent.get().json()["files"][0]["text"].splitlines()[21:38] == new.splitlines()


def test_every_kind_of_edit_changes_the_file(service: Server) -> None:
    agent = service.open()
    calls = (
        ({"op": "insert", "after_line": 21, "content": "# one\n"}, "OK: Inserted 1 line(s) after line 21 in "),
        ({"op": "str_replace", "old_str": "# one", "new_str": "# two"}, "OK: Replaced old_str at line 22 in "),
        ({"start_line": 22, "end_line": 22, "content": "# three"}, "OK: Replaced lines 22..22 with 1 line(s) in "),
        (
            {"op": "replace", "start_line": 22, "end_line": 22, "content": ""},
            "OK: Replaced lines 22..22 with 0 line(s)",
        ),
        (
            {"op": "replace", "start_line": 22, "end_line": 22, "content": "# a\r\n# b\r"},
            "OK: Replaced lines 22..22 with 2",
        ),
    )
    for revision, (arguments, begins) in enumerate(calls, 1):
        body = agent.call("edit", arguments).json()
        assert body["observation"].startswith(begins)
        assert body["revision"] == revision
    text = agent.get().json()["files"][0]["text"].splitlines()
    assert text[21:23] == ["# a", "# b"]


def test_a_filename_without_its_folder_is_accepted_and_named_whole(service: Server) -> None:
    agent = service.open()
    edit = {"filename": "custom_pretrain.py", "start_line": 246, "end_line": 246, "content": "    # x"}
    assert f"in {FILE}." in agent.call("edit", edit).json()["observation"]
    assert (
        agent.call("view", {"filename": "custom_pretrain.py"})
        .json()["observation"]
        .startswith(f"[Current file: {FILE} ")
    )
    refused = agent.call("edit", edit | {"filename": "other.py"})
    assert refused.status_code == 404
    assert refused.json()["observation"] == f"ERROR: Unknown file 'other.py'. You may only edit {FILE}."


def test_an_edit_outside_the_fence_is_refused_with_what_is_allowed(service: Server) -> None:
    agent = service.open()
    answer = agent.call("edit", {"op": "replace", "start_line": 1, "end_line": 15, "content": "import os"})
    assert answer.status_code == 422
    assert answer.json() == {
        "ok": False,
        "observation": "ERROR: Lines 1..15 exceed the editable range. You may only edit lines 22–31, 88–100, 245–247.",
        "code": "outside_editable",
        "editable": RANGES,
        "total_lines": 437,
        "revision": 0,
    }


def test_view_shows_numbered_lines_and_undo_takes_edits_back(service: Server) -> None:
    agent = service.open()
    original = agent.opened["files"][0]["text"]
    seen = agent.call("view", {"start_line": 3, "end_line": 5}).json()["observation"].splitlines()
    assert seen[1:] == ['     3  """', "     4  ", "     5  import math"]
    whole = agent.post("/view").json()["observation"].splitlines()  # without a body at all
    assert whole[1:] == [f"{number:6d}  {line}" for number, line in enumerate(original.splitlines(), 1)]
    for n in range(3):
        agent.call("edit", {"start_line": 246, "end_line": 246, "content": f"    # {n}"})
    first = agent.call("undo").json()
    assert first["observation"].startswith(
        f"OK: Undid 1 edit(s) in {FILE}. Editable range: 22–31, 88–100, 245–247.\n\n"
    )
    assert "   246      # 1" in first["observation"].splitlines()
    agent.call("undo", {"n": 2})
    assert agent.get().json()["files"][0]["text"] == original
    nothing = agent.call("undo")
    assert nothing.status_code == 409
    assert nothing.json()["observation"] == "ERROR: Cannot undo 1 edit(s): there is no edit to undo."


def test_files_can_be_created_only_where_the_task_allows_it(own_task: Server) -> None:
    create = {"op": "create", "filename": "custom_layers.py", "content": "def f():\n    return 1\n"}
    refused = own_task.open().call("edit", create)
    assert refused.status_code == 403
    assert refused.json()["observation"] == (f"ERROR: op=create is not allowed in this task. You may only edit {FILE}.")
    agent = own_task.open("my-task")
    created = agent.call("edit", create).json()
    assert created["observation"].startswith("OK: Created pkg/custom_layers.py with 2 line(s). Editable range: 1–2.")
    assert [file["filename"] for file in agent.get().json()["files"]] == ["pkg/custom.py", "pkg/custom_layers.py"]
    again = agent.call("edit", create)
    assert again.status_code == 409
    assert agent.call("edit", create | {"filename": "../custom_x.py"}).status_code == 422


# --- tests ----------------------------------------------------------------------------------------------------------


def test_the_answer_to_a_test_is_the_feedback_text(service: Server) -> None:
    agent = service.open()
    answer = agent.post("/test?wait=30")
    assert answer.status_code == 202
    body = answer.json()
    assert body["test"]["n"] == 1
    assert body["test"]["status"] == "succeeded"
    number = r"-?\d+\.\d{4}"
    metrics = rf"TRAIN_METRICS: step=\d+, train_loss={number}, val_loss={number}"
    language = ", ".join(f"{name}_gpt-smoke={number}" for name in ("val_loss", "wikitext2_ppl", "lambada_ppl"))
    tasks = ", ".join(f"{name}_lm-eval-smoke={number}" for name in ("arc_easy", "hellaswag", "piqa", "winogrande"))
    expected = [
        r"\[Test #1\] \(2 tests remaining; call submit\(n=N\) to choose which test result to submit as final\)",
        "",
        r"### gpt-smoke \(scripts/gpt_smoke.sh\)",
        r"Training metrics \(last steps\):",
        *[metrics] * 5,
        rf"Final metrics \(gpt-smoke\): {language}",
        "",
        r"### lm-eval-smoke \(scripts/lm_eval_smoke.sh\)",
        rf"Final metrics \(lm-eval-smoke\): {tasks}",
        "",
        r"\[Leaderboard\] Results saved: \{'val_loss_gpt-smoke': .*, 'elapsed_gpt-smoke': \d+, "
        r"'arc_easy_lm-eval-smoke': .*, 'elapsed_lm-eval-smoke': \d+\}",
        r"\[NOTE\] Invented by the fake runner: these figures compare with none from a sandbox\.",
        "",
        r"\[Score\] \S+( .*)?\. The best baseline itself \(template\): \d\.\d{4}, n 1\.",
    ]
    lines = body["observation"].split("\n")
    assert len(lines) == len(expected)
    for line, pattern in zip(lines, expected, strict=True):
        assert re.fullmatch(pattern, line), line
    steps = [int(found) for found in re.findall(r"step=(\d+)", body["observation"])]
    assert steps == [160, 170, 180, 190, 200]


def test_a_test_call_without_wait_answers_at_once_and_tells_where_to_look(service: Server) -> None:
    agent = service.open()
    agent.call("edit", SLOW)
    answer = agent.call("test")
    assert answer.status_code == 202
    body = answer.json()
    assert body["test"] == {"n": 1, "status": "queued", "tests_remaining": 2}
    assert body["observation"] == (
        f"[Test #1] queued (2 tests remaining). Its result: GET /v1/sessions/{agent.id}/tests/1?wait=60, until the "
        "status is final."
    )
    seen = agent.get("/tests/1?wait=0.3").json()
    assert seen["status"] == "running"
    assert seen["observation"] is None
    assert seen["progress"]["stage"] == "gpt-smoke"
    for tool, arguments in (("test", {}), ("submit", {"n": 1})):
        refused = agent.call(tool, arguments)
        assert refused.status_code == 409
        assert refused.json()["code"] == "test_running"
        assert refused.json()["observation"].startswith("ERROR: Test #1 is running. Wait for its result")
    stopped = agent.post("/tests/1/cancel").json()
    assert (stopped["status"], stopped["refunded"]) == ("cancelled", False)
    assert "[CANCELLED]" in stopped["observation"]
    assert agent.post("/tests/1/cancel").status_code == 409
    assert agent.get().json()["budget"]["tests_remaining"] == 2


def test_a_finished_test_can_be_read_in_full(service: Server) -> None:
    agent = service.open()
    told = agent.post("/test?wait=30").json()
    seen = agent.get("/tests/1").json()
    assert seen["observation"] == told["observation"]
    assert (seen["status"], seen["refunded"]) == ("succeeded", False)
    assert seen["created_at"] <= seen["started_at"] <= seen["ended_at"]
    assert [stage["label"] for stage in seen["stages"]] == ["gpt-smoke", "lm-eval-smoke"]
    assert seen["metrics"]["val_loss_gpt-smoke"] == seen["stages"][0]["metrics"]["val_loss"]
    series = seen["progress"]["series"]
    assert [point["step"] for point in series] == list(range(10, 201, 10))
    assert set(series[0]) == {"step", "train_loss", "val_loss"}
    assert (seen["progress"]["step"], seen["progress"]["total_steps"]) == (200, None)


def test_a_failed_stage_shows_the_useful_end_and_ends_the_test(service: Server) -> None:
    agent = service.open()
    agent.call("edit", SLOW | {"content": "    # fake: exit=3\n"})
    body = agent.post("/test?wait=30").json()
    assert body["test"]["status"] == "failed"
    observation = body["observation"]
    assert "### gpt-smoke (scripts/gpt_smoke.sh)\n[COMMAND FAILED exit=3]\n" in observation
    assert "RuntimeError: this run was asked to fail" in observation
    assert "lm-eval-smoke" not in observation
    assert body["test"]["stages"][0]["reason"] == "exit=3"


def test_a_mistake_in_the_file_is_told_and_costs_nothing(service: Server) -> None:
    agent = service.open()
    agent.call("edit", SLOW | {"content": "    def broken(:\n"})
    refused = agent.call("test")
    assert refused.status_code == 422
    assert refused.json()["observation"].startswith("ERROR: ")
    assert refused.json()["observation"].endswith("No test was spent.")
    agent.call("undo")
    agent.call("edit", {"start_line": 247, "end_line": 247, "content": "    CONFIG_OVERRIDES = {'batch_size': 1}\n"})
    refused = agent.call("test")
    assert refused.status_code == 422
    assert "learning_rate, weight_decay, warmup_iters, min_lr, grad_clip" in refused.json()["observation"]
    state = agent.get().json()
    assert (state["tests"], state["budget"]["tests_remaining"]) == ([], 3)


def test_the_budget_counts_down_and_the_last_test_says_so(service: Server) -> None:
    agent = service.open()
    first, second, third = (agent.post("/test?wait=30").json()["observation"] for _ in range(3))
    assert first.startswith("[Test #1] (2 tests remaining; call submit(n=N) ")
    assert second.startswith("[Test #2] (1 test remaining; call submit(n=N) ")
    assert third.startswith("[Test #3] (0 tests remaining; call submit(n=N) ")
    note = (
        "[NOTE] This was your last test. You MUST now call submit(n=X) to choose which test result to submit as your "
        "final answer."
    )
    assert [note in text.split("\n") for text in (first, second, third)] == [False, False, True]
    refused = agent.call("test")
    assert refused.status_code == 429
    assert refused.json()["observation"] == (
        "ERROR: Test budget exhausted (3/3). You MUST call submit(n=N) to choose which test result to submit."
    )


def test_the_same_key_gets_the_first_answer_and_spends_nothing(service: Server) -> None:
    agent = service.open()
    key = {"Idempotency-Key": "once"}
    first, second = (agent.call("test", headers=key) for _ in range(2))
    assert second.json() == first.json()
    agent.result(1)
    assert agent.get().json()["budget"]["tests_remaining"] == 2
    other = agent.call("view", headers=key)
    assert other.status_code == 422
    assert other.json()["code"] == "idempotency_key_reused"
    with service.client() as client:
        opening = {"task": TASK, "agent": "x"}
        opened = [client.post("/v1/sessions", json=opening, headers=key).json() for _ in range(2)]
    assert opened[0] == opened[1]


# --- submitting -----------------------------------------------------------------------------------------------------


def test_submitting_repeats_the_result_and_closes_the_session(service: Server) -> None:
    agent = service.open()
    before = agent.call("submit", {"n": 1})
    assert before.status_code == 409
    assert before.json()["observation"] == "ERROR: No test results yet. Run test() at least once first."
    feedback = [agent.post("/test?wait=30").json()["observation"] for _ in range(2)]
    wrong = agent.call("submit", {"n": 3})
    assert wrong.status_code == 422
    assert wrong.json()["observation"] == "ERROR: There is no result of a test #3. You may submit #1, #2."
    answer = agent.call("submit", {"n": 2})
    assert answer.status_code == 200
    assert answer.json()["submission"]["n"] == 2
    _, *result, saved, standing = feedback[1].split("\n\n")
    assert answer.json()["observation"].split("\n\n") == [
        "[submit] Submitting result from test #2 as final.",
        *result,
        "[submit] Finalized test #2 as final.",
        saved,
        f"[Leaderboard] {standing.partition('. ')[2]}",
    ]
    calls: tuple[tuple[str, dict[str, Any]], ...] = (("edit", SLOW), ("view", {}), ("undo", {}), ("test", {}))
    for tool, arguments in (*calls, ("submit", {"n": 2}), ("submit", {"n": 1})):
        refused = agent.call(tool, arguments)
        assert refused.status_code == 409
        assert refused.json() == {
            "ok": False,
            "observation": "ERROR: This session is closed: test #2 was submitted as final. "
            f"{tool} is not possible any more.",
            "code": "session_closed",
        }
    state = agent.get().json()
    assert state["state"] == "submitted"
    assert state["submission"]["n"] == 2
    assert agent.get("/tests/1").status_code == 200
    assert agent.get("/trajectory").json()["submission"] == {"n": 2}


def test_calls_are_counted_where_the_task_limits_them(own_task: Server) -> None:
    agent = own_task.open("my-task")
    assert agent.opened["budget"] == {"tests": 3, "tests_remaining": 3, "steps": 3, **NO_HOURS}
    assert "- 3 tool calls in all." in agent.opened["prompt"].splitlines()
    assert agent.call("view").status_code == 200
    assert agent.call("edit", {"start_line": 1, "end_line": 1, "content": "x"}).status_code == 422  # counts as well
    assert agent.post("/test?wait=30").status_code == 202
    for tool in ("view", "test"):
        refused = agent.call(tool)
        assert refused.status_code == 429
        assert refused.json()["observation"] == (
            "ERROR: Step budget exhausted (3/3). You MUST call submit(n=N) to choose which test result to submit."
        )
    assert agent.call("submit", {"n": 1}).status_code == 200


def test_a_task_without_scales_can_be_edited_but_not_tested(own_task: Server, tmp_path: Path) -> None:
    folder = tmp_path / "tasks" / "my-task"
    (folder / "task.toml").write_text(OPERATORS_TASK.partition("[[scales")[0])
    own_task.stop()
    own_task.start()
    agent = own_task.open("my-task")
    assert agent.opened["scale"] is None
    assert "This task can be edited but not tested: it has no scales." in agent.opened["prompt"]
    assert agent.call("edit", {"start_line": 3, "end_line": 3, "content": "y = 3"}).status_code == 200
    refused = agent.call("test")
    assert refused.status_code == 409
    assert refused.json()["observation"] == "ERROR: This task has no scales: it can be edited but not tested."


# --- reading --------------------------------------------------------------------------------------------------------


def test_the_state_of_a_session_is_what_was_done_in_it(service: Server) -> None:
    agent = service.open(metadata={"a": 1})
    agent.call("edit", {"start_line": 246, "end_line": 246, "content": "    # x"})
    agent.call("view")
    agent.post("/test?wait=30")
    state = agent.get().json()
    [test], [file] = state.pop("tests"), state.pop("files")
    assert file["text"].splitlines()[245] == "    # x"
    assert (test["n"], test["status"]) == (1, "succeeded")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", state.pop("created_at"))
    assert state == {
        "session_id": agent.id,
        "task": TASK,
        "agent": "tester",
        "scale": "smoke",
        "metadata": {"a": 1},
        "state": "open",
        "budget": {"tests": 3, "tests_remaining": 2, "steps": 0, **NO_HOURS},
        "steps": 3,
        "revision": 1,
        "submission": None,
        "closed": None,
        "confirms": None,
        "confirmations": [],
        "comparison": None,
    }


def test_the_trajectory_holds_every_step_as_it_was_answered(service: Server) -> None:
    agent = service.open()
    calls: list[tuple[str, dict[str, Any], bool]] = [
        ("edit", {"op": "replace", "start_line": 1, "end_line": 1, "content": "x"}, False),
        ("edit", {"op": "replace", "start_line": 246, "end_line": 246, "content": "    # ünïcode"}, True),
        ("view", {"start_line": 1, "end_line": 2}, True),
        ("undo", {"n": 1}, True),
        ("submit", {"n": 1}, False),
        ("test", {}, True),
    ]
    answers = [agent.call(tool, arguments).json() for tool, arguments, _ in calls]
    result = agent.result(1)
    answers[-1]["observation"] = result["observation"]  # the final feedback takes the place of "queued"
    told = agent.get("/trajectory").json()
    assert [(step["tool"], step["input"], step["ok"]) for step in told["steps"]] == calls
    assert [step["observation"] for step in told["steps"]] == [answer["observation"] for answer in answers]
    assert [step["code"] for step in told["steps"]] == [answer.get("code") for answer in answers]
    assert [step["step"] for step in told["steps"]] == [1, 2, 3, 4, 5, 6]
    assert told["steps"][-1]["test"] == 1
    times = [step["at"] for step in told["steps"]]
    assert times == sorted(times)
    assert told["files"] == agent.opened["files"]
    assert (told["task"], told["agent"], told["scale"], told["submission"]) == (TASK, "tester", "smoke", None)


def test_health_tells_that_the_service_lives_and_is_ready(service: Server) -> None:
    with service.client() as client:
        assert client.get("/healthz").json() == {"ok": True}
        before = client.get("/readyz")
        service.open().post("/test?wait=30")
        after = client.get("/readyz").json()
    assert before.status_code == 200
    assert (after["ok"], after["runner"]) == (True, "fake")
    assert after["tests"]["succeeded"] == before.json()["tests"].get("succeeded", 0) + 1
    assert after["slots"] >= 1


def test_texts_are_sent_as_they_are(service: Server) -> None:
    """En dashes and the agent's own characters arrive as UTF-8, not as escapes."""
    agent = service.open()
    answer = agent.call("edit", {"start_line": 246, "end_line": 246, "content": "    # 日本語 𝛽"})
    assert answer.headers["content-type"] == "application/json"
    assert "22–31" in answer.content.decode()
    assert "日本語 𝛽" in answer.content.decode()
    assert json.loads(answer.content)["ok"] is True
