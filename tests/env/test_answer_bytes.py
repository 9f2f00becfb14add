"""What is sent and stored, to the byte: agents, clients and rows of earlier versions rely on it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from env.http.responses import answer_response, json_response
from ringfence.api.refusal import Kind
from ringfence.api.tools import Edited, TurnedDown

EDIT = {"op": "replace", "start_line": 246, "end_line": 246, "content": "    # é\n"}
FILE = b"nanoGPT/custom_pretrain.py"
RANGES = "22–31, 88–100, 245–247".encode()
STATE = b'"editable":[[22,31],[88,100],[245,247]],"total_lines":437,"revision":'


def test_an_edit_and_its_refusal(shared: Any) -> None:
    agent = shared.open()
    edited = agent.call("edit", EDIT).content
    head = b'{"ok":true,"observation":"OK: Replaced lines 246..246 with 1 line(s) in ' + FILE
    assert edited.startswith(head + b". Editable range: " + RANGES + b".\\n\\n[Current file: ")
    assert edited.endswith(b'",' + STATE + b"1}")
    assert agent.call("edit", EDIT | {"start_line": 1, "end_line": 2}).content == (
        b'{"ok":false,"observation":"ERROR: Lines 1..2 exceed the editable range. You may only edit lines '
        + RANGES
        + b'.","code":"outside_editable",'
        + STATE
        + b"1}"
    )
    assert agent.call("edit", {"op": "move"}).content.endswith(b'new_str.","code":"invalid_arguments"}')


def test_a_test_a_check_and_a_submission(shared: Any) -> None:
    agent = shared.open()
    assert agent.call("check").content.endswith(STATE + b'0,"check":{"passed":true,"checks_remaining":9}}')
    queued = agent.call("test").content
    assert queued.endswith(STATE + b'0,"test":{"n":1,"status":"queued","tests_remaining":2}}')
    agent.result(1)
    assert b'data: {"n": 1, "status": "succeeded"}\n\n' in agent.get("/tests/1/events").content
    submitted = agent.call("submit", {"n": 1}).content
    compared = b'0,"submission":{"n":1,"status":"succeeded","comparison":{"headline":"The best baseline itself'
    assert STATE + compared in submitted
    assert submitted.endswith(b',"confirmed_at":[]}}')


def test_answers_under_a_key_are_stored_and_given_again_as_they_were(serve: Callable[..., Any]) -> None:
    service = serve()
    agent = service.open()
    calls = [("edit", EDIT), ("edit", EDIT | {"end_line": 1}), ("test", {}), ("check", {})]
    first = [agent.call(tool, body, headers={"Idempotency-Key": str(n)}) for n, (tool, body) in enumerate(calls)]
    service.stop()
    with sqlite3.connect(service.state / "ringfence.db") as connection:
        stored = [row for (row,) in connection.execute("SELECT body FROM answers ORDER BY rowid")]
    connection.close()
    for answer, row in zip(first, stored, strict=True):
        kind = {200: None, 202: None, 422: "invalid"}[answer.status_code]
        kept = json.loads(row)
        assert kept["kind"] == kind
        assert kept["body"].items() >= {key: answer.json()[key] for key in ("ok", "revision")}.items()
        assert answer.json()["observation"][:40] not in json.dumps(kept, ensure_ascii=False)  # its step has it
    service.start()
    again = [agent.call(tool, body, headers={"Idempotency-Key": str(n)}) for n, (tool, body) in enumerate(calls)]
    assert [(one.status_code, one.content) for one in again] == [(one.status_code, one.content) for one in first]


@given(told=st.text(st.characters(exclude_categories=())), code=st.none() | st.text(), total=st.integers(0, 1 << 40))
def test_both_ways_to_write_an_answer_give_the_same_bytes(told: str, code: str | None, total: int) -> None:
    answer: Edited | TurnedDown = Edited(ok=True, observation=told, editable=((1, 2),), total_lines=total, revision=0)
    if code is not None:
        answer = TurnedDown(**answer.to_dict() | {"ok": False}, code=code, kind=Kind.CONFLICT)
    quick, plain = answer_response(answer), json_response(answer, 200 if code is None else 409)
    assert (quick.status_code, quick.raw_headers, quick.body) == (plain.status_code, plain.raw_headers, plain.body)
