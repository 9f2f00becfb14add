"""The running service against its own OpenAPI document, with generated calls."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.service import TASK, Serve

EXAMPLES = 40
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
SESSION = "/v1/sessions/{session_id}"
CALLS: dict[str, dict[str, Any] | None] = {
    "POST /v1/sessions": {"task": TASK, "agent": "x", "scale": None, "metadata": {"a": [1, None]}},
    f"GET {SESSION}": None,
    f"POST {SESSION}/edit": {"start_line": 246, "end_line": 246, "content": "    # better"},
    f"POST {SESSION}/view": None,
    f"POST {SESSION}/undo": {"n": 1},
    f"POST {SESSION}/test": None,
    f"GET {SESSION}/tests/{{n}}": None,
    f"GET {SESSION}/tests/{{n}}/events": None,
    f"POST {SESSION}/tests/{{n}}/cancel": None,
    f"POST {SESSION}/submit": {"n": 1},
    f"GET {SESSION}/trajectory": None,
    "GET /v1/tasks": None,
    "GET /v1/tasks/{task_id}": None,
    "GET /v1/tools": None,
    "GET /v1/leaderboards": None,
    "GET /v1/leaderboards/{task_id}": None,
    "GET /v1/leaderboards/{task_id}.csv": None,
    "GET /v1/published": None,
    "GET /v1/results/{run_key}": None,
    "GET /v1/results/{run_key}/curve": None,
    "GET /healthz": None,
    "GET /readyz": None,
    "GET /metrics": None,
}
"""Every call there is, with a body that works for those that generated bodies hardly ever suit."""


def test_generated_calls_are_answered_as_the_document_says(serve: Serve, subtests: pytest.Subtests) -> None:
    service = serve()
    agent, submitted = service.open(scale="gpt-345m"), service.open()  # that scale has probes
    agent.post("/probe?wait=20")
    for one in (agent, submitted):
        one.post("/test?wait=20")
    submitted.call("submit", {"n": 1})  # a row on the leaderboard
    known = {"session_id": agent.id, "task_id": TASK, "n": 1, "run_key": f"{submitted.id}-1"}
    schema = schemathesis.openapi.from_url(f"{service.url}/openapi.json")
    operations = {found.ok().label: found.ok() for found in schema.get_all_operations()}
    assert operations.keys() >= CALLS.keys()
    answered: dict[str, set[int]] = {}
    for label in sorted(operations, key=lambda label: "submit" in label):  # submitting closes the session
        with subtests.test(call=label), requests.Session() as session:
            answered[label] = _exercise(operations[label], known, agent.token, session)
    # The calls did come through to where work is done, and were refused as well where they can be.
    never_right = {label for label, statuses in answered.items() if not statuses & {200, 201, 202}}
    # Its test and its probe are over already: 409. And only an operator's key closes a session, or confirms what it
    # submitted.
    cancelled = {f"POST {SESSION}/{kind}/{{n}}/cancel" for kind in ("tests", "probes")}
    assert never_right == {*cancelled, f"POST {SESSION}/close", f"POST {SESSION}/confirm"}
    never_refused = {label for label, statuses in answered.items() if max(statuses) < 400}
    catalogue = {"GET /v1/tasks", "GET /v1/tools", "GET /v1/leaderboards", "GET /v1/published"}
    assert never_refused == catalogue | {"GET /healthz", "GET /readyz", "GET /metrics"}
    assert "Traceback" not in service.log()
    assert httpx.get(f"{service.url}/readyz").is_success


def _exercise(operation: Any, known: dict[str, Any], token: str, session: requests.Session) -> set[int]:
    """The statuses of the answers to generated calls, half of them to things that exist."""
    statuses: set[int] = set()
    right, wrong = (operation.as_strategy(mode) for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE))

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=st.one_of(right, right, wrong), exists=st.booleans())
    def check(case: Any, exists: bool) -> None:
        if exists:
            case.path_parameters = {name: known[name] for name in case.path_parameters or {}}
            if CALLS.get(operation.label):
                case.body, case.media_type = CALLS[operation.label], "application/json"
        answer = case.call(session=session, headers={"Authorization": f"Bearer {token}"}, timeout=30)
        statuses.add(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    check()
    return statuses
