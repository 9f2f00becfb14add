"""Whatever is sent, the answer is a refusal of the one shape, nothing changes, and the service goes on."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import NullPool, create_engine

from tests.support.service import TASK, Server
from tests.support.waiting import Deadline

SURROGATE = "\ud800"
GOOD_EDIT = {"op": "replace", "start_line": 246, "end_line": 246, "content": "    # better"}
OPEN = {"task": TASK, "agent": "x"}
LIMIT = 1 << 20


@pytest.fixture
def service(shared: Server) -> Iterator[Server]:
    """A service that at the end of the test is fit and has nothing to complain of in its log."""
    before = len(shared.log())
    yield shared
    with shared.client() as client:
        assert client.get("/readyz").json()["ok"] is True
    assert "Traceback" not in shared.log()[before:]
    assert "ERROR" not in shared.log()[before:]


def test_wrong_arguments_of_a_tool_are_refused_and_change_nothing(service: Server, subtests: pytest.Subtests) -> None:
    agent = service.open()
    before = agent.get().json()
    with service.client(agent.token) as client:
        for tool, arguments, code in _WRONG_ARGUMENTS:
            with subtests.test(tool=tool, arguments=_short(arguments)):
                answer = client.post(f"/v1/sessions/{agent.id}/{tool}", content=json.dumps(arguments), headers=_JSON)
                _assert_refused(answer, {403, 404, 409, 422})
                assert answer.json()["code"] == code
    after = agent.get().json()
    assert after.pop("steps") == sum(step["ok"] is False for step in agent.get("/trajectory").json()["steps"])
    assert before.pop("steps") == 0
    assert after == before


_JSON = {"Content-Type": "application/json"}
_INVALID = "invalid_arguments"
_NOT_INTEGERS: tuple[Any, ...] = (True, False, 1.5, "one", "1.5", [], {}, float("nan"), float("inf"), -float("inf"))
_NOT_TEXTS: tuple[Any, ...] = (1, 1.5, True, [], ["x"], {}, float("nan"), 10**400)
_BAD_LINES = (
    (0, 0),
    (-1, 5),
    (-5, -1),
    (25, 22),
    (438, 438),
    (1, 437),
    (31, 32),
    (21, 22),
    (22, 88),
    (2**31, 2**31),
    (2**63, 2**63),
    (-(2**63) - 1, 22),
    (22, 10**400),
    (10**400, 10**400),
)
_SEPARATORS = (
    "\x00",
    "\x0b",
    "\x0c",
    "\x1c",
    "\x1d",
    "\x1e",
    "\x85",
    "\u2028",
    "\u2029",
    "\ufeff",
    "\u202e",
    SURROGATE,
)
_STRANGE_NAMES = (
    ".",
    "..",
    "/etc/passwd",
    "../custom_pretrain.py",
    "nanoGPT/../nanoGPT/custom_pretrain.py",
    "nanoGPT//custom_pretrain.py",
    "/nanoGPT/custom_pretrain.py",
    "nanoGPT\\custom_pretrain.py",
    "nanoGPT/custom_pretrain.py\x00",
    "NANOGPT/CUSTOM_PRETRAIN.PY",
    "file:///etc/passwd",
    "a" * 100_000,
    SURROGATE,
    "\x00",
)


def _wrong_arguments() -> Iterator[tuple[str, Any, str]]:
    for value in _NOT_INTEGERS:
        for name in ("start_line", "end_line"):
            yield "edit", GOOD_EDIT | {name: value}, _INVALID
            yield "view", {name: value}, _INVALID
        yield "edit", {"op": "insert", "after_line": value, "content": "x"}, _INVALID
        yield "undo", {"n": value}, _INVALID
        yield "submit", {"n": value}, _INVALID
    for value in _NOT_TEXTS:
        for name in ("op", "filename", "content"):
            yield "edit", GOOD_EDIT | {name: value}, _INVALID
        yield "edit", {"op": "str_replace", "old_str": value, "new_str": "x"}, _INVALID
        yield "edit", {"op": "str_replace", "old_str": "x", "new_str": value}, _INVALID
        yield "view", {"filename": value}, _INVALID
    for first, last in _BAD_LINES:
        edit = GOOD_EDIT | {"start_line": first, "end_line": last}
        bad = first < 1 or last < 1 or last < first
        yield "edit", edit, "bad_lines" if bad else "beyond_end" if last > 437 else "outside_editable"
    for line in (0, -1, 20, 32, 437, 2**63, -(2**63), 10**400):
        yield "edit", {"op": "insert", "after_line": line, "content": "x"}, "outside_editable"
    for text in _SEPARATORS:
        yield "edit", GOOD_EDIT | {"content": f"a{text}b"}, "bad_content"
        yield "edit", {"op": "insert", "after_line": 22, "content": text}, "bad_content"
        yield "edit", {"op": "str_replace", "old_str": "CONFIG_OVERRIDES = {}", "new_str": text}, "bad_content"
        yield "edit", {"op": "str_replace", "old_str": text, "new_str": "x"}, "not_found"
        yield "edit", {"op": "create", "filename": text, "content": text}, "create_not_allowed"
        yield "edit", GOOD_EDIT | {"op": text}, _INVALID
        yield "edit", GOOD_EDIT | {text: text}, _INVALID
    for name in _STRANGE_NAMES:
        yield "edit", GOOD_EDIT | {"filename": name}, "unknown_file"
        yield "view", {"filename": name}, "unknown_file"
        yield "edit", {"op": "create", "filename": name, "content": "x = 1\n"}, "create_not_allowed"
    for op in ("REPLACE", "replace ", "delete", "view"):
        yield "edit", GOOD_EDIT | {"op": op}, _INVALID
    for arguments in ({}, {"content": "x"}, {"op": None}, {"op": ""}, {"after_line": 22, "start_line": 22}):
        yield "edit", arguments, "missing_op"
    for arguments in ({"start_line": 22}, {"after_line": 22}, {"start_line": 22, "content": "x"}, {"old_str": "x"}):
        yield "edit", arguments, "missing_argument"
    for empty in ("", None):
        yield "edit", {"op": "create", "filename": empty, "content": "x = 1\n"}, "missing_argument"
        yield "submit", {"n": empty}, _INVALID
    for name in ("start_line", "end_line", "content"):
        yield (
            "edit",
            {key: value for key, value in GOOD_EDIT.items() if key != name} | {"op": "replace"},
            "missing_argument",
        )
        yield "edit", GOOD_EDIT | {name: None}, "missing_argument"
    yield "edit", {"op": "insert"}, "missing_argument"
    yield "edit", {"op": "str_replace", "old_str": "x"}, "missing_argument"
    yield "edit", {"op": "str_replace", "old_str": "", "new_str": "x"}, "empty_old_str"
    yield "edit", {"op": "str_replace", "old_str": "import math", "new_str": "x"}, "not_found"
    yield "edit", {"op": "str_replace", "old_str": "self", "new_str": "x"}, "not_unique"
    yield "edit", {"op": "insert", "after_line": 22, "content": ""}, "no_change"
    yield "edit", GOOD_EDIT | {"content": "x" * 100_000}, "too_large"
    for first, last in ((0, 1), (5, 4), (-1, 3), (438, 500), (2**63, 2**63), (10**400, 10**400)):
        yield "view", {"start_line": first, "end_line": last}, "bad_lines"
    for n in (0, 1, -1, 2**31, 2**63, -(2**63), 10**400):
        yield "undo", {"n": n}, "cannot_undo"
        yield "submit", {"n": n}, "no_results"
    yield "submit", {}, _INVALID
    yield "submit", {"n": None}, _INVALID
    for tool in ("edit", "view", "undo", "test", "submit"):
        yield tool, {"surprise": 1}, _INVALID
        for body in ([], [1], "text", 1, True, float("nan")):
            yield tool, body, _INVALID
    yield "test", {"n": 1}, _INVALID


_WRONG_ARGUMENTS = list(_wrong_arguments())


def test_sessions_are_not_opened_on_wrong_arguments(service: Server, subtests: pytest.Subtests) -> None:
    unknown = [({"task": name}, "unknown_task") for name in ("", "nope", "..", "\x00", SURROGATE, "x" * 100_000)]
    scales = [({"scale": name}, "unknown_scale") for name in ("huge", "\x00", SURROGATE, "x" * 100_000)]
    agents = (
        "",
        " x",
        "-x",
        "x" * 101,
        "a\nb",
        "a\x00",
        "é",
        SURROGATE,
        "=1+1",
        "a,b",
        "baseline:",
        "baseline:x",
        "<b>",
    )
    metadata: tuple[Any, ...] = (
        {"a": float("nan")},
        {"a": [float("inf")]},
        {"a": -float("inf")},
        {"a": "x" * 8192},
        json.loads('{"a":' * 33 + "1" + "}" * 33),
        json.loads('{"a":' + "[" * 33 + "]" * 33 + "}"),
    )
    wrong = [({name: value}, _INVALID) for name in ("task", "agent") for value in (None, *_NOT_TEXTS)]
    wrong += [({"scale": value}, _INVALID) for value in _NOT_TEXTS]
    wrong += [({"metadata": value}, _INVALID) for value in (None, 1, "x", [], [["a", 1]], True)]
    wrong += [({"surprise": 1}, _INVALID), ({SURROGATE: SURROGATE}, _INVALID)]
    wrong += [({"metadata": value}, "bad_metadata") for value in metadata]
    wrong += [({"agent": value}, "bad_agent") for value in agents]
    before = _count(service, "sessions")
    with service.client() as client:
        for change, code in [*wrong, *unknown, *scales]:
            with subtests.test(change=_short(change)):
                answer = client.post("/v1/sessions", content=json.dumps(OPEN | change), headers=_JSON)
                _assert_refused(answer, {404, 422})
                assert answer.json()["code"] == code
        for missing in ("task", "agent"):
            body = {key: value for key, value in OPEN.items() if key != missing}
            _assert_refused(client.post("/v1/sessions", json=body), {422})
    assert _count(service, "sessions") == before


def test_metadata_that_is_taken_comes_back_as_it_was(service: Server, subtests: pytest.Subtests) -> None:
    values: tuple[Any, ...] = (
        {},
        {"": None, "a": [1, -1.5, True, None, "\x00\u2028"]},
        {"surrogate": SURROGATE, SURROGATE: 1},
        {"integers": [10**400, 2**63, -(2**63) - 1]},
        {"a": "x" * 8000},
        json.loads('{"a":' + "[" * 31 + "]" * 31 + "}"),
    )
    for value in values:
        with subtests.test(value=_short(value)), service.client() as client:
            opened = client.post("/v1/sessions", content=json.dumps(OPEN | {"metadata": value}), headers=_JSON)
            assert opened.status_code == 201, opened.text
            got = opened.json()
            seen = client.get(f"/v1/sessions/{got['session_id']}", headers={"Authorization": f"Bearer {got['token']}"})
            assert seen.status_code == 200
            assert seen.json()["metadata"] == value


def test_nesting_is_refused_at_every_depth(service: Server) -> None:
    """Readers of JSON give up at a depth of their own: none of them may do so after the session is stored."""
    depths = [33, 100, 500, *range(900, 1000, 4), 5_000, 100_000, 400_000]
    agent = service.open()
    before = _count(service, "sessions")
    with service.client() as client:
        for depth in depths:
            nested = "[" * depth + "]" * depth
            opening = json.dumps(OPEN | {"metadata": {"a": 1}}).replace("1", nested)
            _assert_refused(client.post("/v1/sessions", content=opening, headers=_JSON), {400, 422})
            for body in (nested, json.dumps({"content": 1}).replace("1", nested), '{"a":' * depth + "1" + "}" * depth):
                if len(body) < LIMIT:
                    _assert_refused(agent.post("/edit", content=body, headers=_JSON), {400, 422})
    assert _count(service, "sessions") == before


def test_bodies_that_are_not_json_objects_are_refused(service: Server, subtests: pytest.Subtests) -> None:
    agent = service.open()
    good = json.dumps(GOOD_EDIT).encode()
    cases: list[tuple[bytes, str | None, int]] = [
        (b"", "application/json", 422),
        (b"{", "application/json", 400),
        (b"{}{}", "application/json", 400),
        (b"{'op': 'replace'}", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b'{"content": "\xff"}', "application/json", 400),
        (good.replace(b"better", b"\xed\xa0\x80"), "application/json", 422),
        (b'{"n": ' + b"9" * 5000 + b"}", "application/json", 400),
        (b'{"start_line": 1e999}', "application/json", 422),
        (b'{"start_line": NaN}', "application/json", 422),
        (b'{"start_line": -Infinity, "content": Infinity}', "application/json", 422),
        (b"null", "application/json", 422),
        (good, "text/plain", 422),
        (good, "application/x-www-form-urlencoded", 422),
        (good, "multipart/form-data; boundary=x", 422),
        (good, "application/jsonx", 422),
        (good, "nonsense", 422),
        (good, None, 422),
    ]
    for body, content_type, status in cases:
        with subtests.test(body=_short(body), content_type=content_type):
            headers = {} if content_type is None else {"Content-Type": content_type}
            _assert_refused(agent.post("/edit", content=body, headers=headers), {status})
    assert agent.get().json()["revision"] == 0


def test_bodies_up_to_the_limit_are_read_and_larger_ones_are_not(service: Server, subtests: pytest.Subtests) -> None:
    agent = service.open()
    path = f"/v1/sessions/{agent.id}/edit"
    fits = _padded(GOOD_EDIT, LIMIT)
    for body, chunked, status in (
        (fits, False, 200),
        (fits, True, 200),
        (fits + b" ", False, 413),
        (fits + b" ", True, 413),
        (b" " * (8 * LIMIT), False, 413),
        (b" " * (8 * LIMIT), True, 413),
        (b'{"content": "' + b"x" * (2 * LIMIT) + b'"}', True, 413),
    ):
        with subtests.test(size=len(body), chunked=chunked):
            got_status, answer = _send(service.url, "POST", path, agent.token, body, chunked)
            assert got_status == status
            assert answer["ok"] is (status == 200)
            if status == 413:
                assert answer["code"] == "body_too_large"
                assert str(LIMIT) in answer["observation"]
    assert agent.get().json()["revision"] == 2


def test_a_length_that_is_only_claimed_is_refused_without_waiting_for_the_body(service: Server) -> None:
    agent = service.open()
    head = f"POST /v1/sessions/{agent.id}/edit HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    answer = _raw(service.url, f"{head}Content-Length: 99999999999\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_stream_goes_on_when_its_caller_sends_too_much(service: Server) -> None:
    agent = service.open()
    agent.call("edit", GOOD_EDIT | {"content": "    # fake: seconds=2"})
    agent.call("test")
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    head = f"GET /v1/sessions/{agent.id}/tests/1/events HTTP/1.1\r\nHost: localhost\r\n"
    head += f"Authorization: Bearer {agent.token}\r\n"
    with _connect(service.url) as connection:
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        for _ in range(17):
            connection.sendall(chunk)
        connection.sendall(b"0\r\n\r\n")
        seen, deadline = b"", Deadline(60)
        while b"event: result" not in seen:
            deadline.check("for the result")
            more = connection.recv(65536)
            assert more
            seen += more
    assert agent.result(1)["status"] == "succeeded"


def test_strange_paths_are_not_found(service: Server, subtests: pytest.Subtests) -> None:
    agent = service.open()
    sessions = ("..", "%2e%2e", "%2e%2e%2f", "%00", "x" * 5000, "%ff", "%ed%a0%80", "A" * 16, "-", "'%20OR%201=1", "*")
    paths = [f"/v1/sessions/{name}{rest}" for name in sessions for rest in ("", "/trajectory", "/tests/1")]
    paths += [f"/v1/tasks/{name}" for name in sessions]
    paths += [f"/v1/leaderboards/{name}{rest}" for name in sessions for rest in ("", ".csv")]
    paths += [
        "/v1/sessions/",
        "/v1/tasks/",
        "/v1",
        "//",
        "/v1//tasks",
        "/v1/tasks/../../etc/passwd",
        "/%00",
        "/.env",
    ]
    paths += [f"/v1/sessions/{agent.id}{rest}" for rest in ("/", "/nope", "/tests", "/tests/1/nope", "%00", "/../x")]
    for path in paths:
        with subtests.test(path=path[:80]):
            status, answer = _send(service.url, "GET", path, agent.token)
            assert status in (404, 405, 422), answer
            assert answer["ok"] is False
            assert answer["observation"].startswith("ERROR: ")
            assert len(answer["observation"]) < 1000


def test_a_nul_in_a_query_is_refused(service: Server) -> None:
    with service.client() as client:
        for path in (f"/v1/leaderboards/{TASK}?agent=%00", f"/v1/leaderboards/{TASK}?x=a%00"):
            _assert_refused(client.get(path), {422})
        page = client.get(f"/tasks/{TASK}?run=%00")
        assert page.status_code == 422
        assert "run must be" in page.text


def test_unknown_tools_of_a_session_are_not_found(service: Server) -> None:
    agent = service.open()
    for tool in ("nope", "Edit", "edit/", "edit%00", "tests/1", "trajectory"):
        _assert_refused(agent.post(f"/{tool}", json={}), {404, 405})


def test_numbers_of_tests_and_waits_that_do_not_exist_are_refused(service: Server, subtests: pytest.Subtests) -> None:
    agent = service.open()
    agent.call("test")
    agent.result(1)
    numbers = ("0", "-1", "2", "1.5", "a", "nan", "%00", "1e3", "01x", str(2**63), str(10**400), "9" * 5000, "%d9%a1")
    for number in numbers:
        for rest in ("", "/events"):
            with subtests.test(number=number[:40], rest=rest):
                status, answer = _send(service.url, "GET", f"/v1/sessions/{agent.id}/tests/{number}{rest}", agent.token)
                assert status in (404, 422)
                assert answer["observation"].startswith("ERROR: ")
        _assert_refused(agent.post(f"/tests/{number}/cancel"), {404, 422})
    for wait in ("-1", "nan", "inf", "-inf", "1e9", "60.1", "", "x", "true", "%00", "1&wait=nan", "9" * 5000):
        with subtests.test(wait=wait[:40]):
            _assert_refused(agent.get(f"/tests/1?wait={wait}"), {422})
            _assert_refused(agent.post(f"/test?wait={wait}"), {422})
            _assert_refused(agent.post(f"/tests/1/cancel?wait={wait}"), {422})
    assert agent.get().json()["budget"]["tests_remaining"] == 2


def test_wrong_questions_about_a_leaderboard_are_refused(service: Server, subtests: pytest.Subtests) -> None:
    agent = service.open()
    agent.post("/test?wait=20")
    wrong = ("limit=0", "limit=-1", "limit=10001", "limit=x", "limit=nan", f"limit={10**400}", "offset=-1", "offset=x")
    wrong += (f"offset={2**31}", f"offset={2**63}", "final=maybe", "final=", "sort=nope", "sort=-", "sort=%00")
    wrong += ("sort=timestamp;drop", "scale=%00", "agent=%00", "status=a%00b")
    with service.client() as client:
        for query in wrong:
            for form in ("", ".csv"):
                with subtests.test(query=query[:40], form=form):
                    _assert_refused(client.get(f"/v1/leaderboards/{TASK}{form}?{query}"), {422})
        for query in ("scale=%ed%a0%80", "scale=nope", "agent='%20OR%201=1", f"offset={2**31 - 1}", "x=y"):
            answer = client.get(f"/v1/leaderboards/{TASK}?{query}&final=false")
            assert answer.status_code == 200
            assert bool(answer.json()["rows"]) is (query == "x=y")


def test_idempotency_keys_have_a_length(service: Server) -> None:
    agent = service.open()
    for key in ("", "k" * 201, "k" * 60_000):
        for tool in ("edit", "test"):
            arguments = GOOD_EDIT if tool == "edit" else {}
            answer = agent.call(tool, arguments, headers={"Idempotency-Key": key})
            _assert_refused(answer, {422})
            assert answer.json()["code"] == "bad_idempotency_key"
        with service.client() as client:
            _assert_refused(client.post("/v1/sessions", json=OPEN, headers={"Idempotency-Key": key}), {422})
    for key in (b"\xff\xfe", b"k" * 200, b"' OR 1=1 --"):
        assert agent.call("edit", GOOD_EDIT, headers={"Idempotency-Key": key}).status_code == 200
    assert agent.get().json()["revision"] == 3
    assert agent.get().json()["tests"] == []


def test_odd_headers_are_no_way_in(service: Server, subtests: pytest.Subtests) -> None:
    agent = service.open()
    path = f"/v1/sessions/{agent.id}"
    secrets = ("", "Bearer", "Basic eDp5", agent.token, f"Basic {agent.token}", "Bearer \xff", "Bearer a b")
    for value in (*secrets, "Bearer " + "x" * 50_000, f"Bearer {agent.token}x", f"Bearer {agent.token[:-1]}"):
        with subtests.test(authorization=value[:40]), service.client() as client:
            answer = client.get(path, headers={"Authorization": value.encode("latin-1")})
            _assert_refused(answer, {401, 403})
            assert ("WWW-Authenticate" in answer.headers) is (answer.status_code == 401)
    foreign = {"[": 403, "a b": 403, "x:99999": 403, "[::1": 404, "\xe9": 403, "evil.example": 403}
    for host, status in foreign.items():
        with subtests.test(host=host), service.client() as client:
            headers = {"Host": host.encode("latin-1")}
            _assert_refused(client.get("/nope", headers=headers), {status})
            _assert_refused(client.post("/v1/sessions/", json=OPEN, headers=headers), {status})


def test_methods_that_an_address_does_not_know_are_refused(service: Server, subtests: pytest.Subtests) -> None:
    agent = service.open()
    own = f"/v1/sessions/{agent.id}"
    for path, allowed in (
        ("/v1/sessions", {"POST"}),
        (own, {"GET", "HEAD"}),
        (f"{own}/edit", {"POST"}),
        (f"{own}/tests/1", {"GET", "HEAD"}),
        ("/v1/tasks", {"GET", "HEAD"}),
        ("/healthz", {"GET", "HEAD"}),
    ):
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "PROPFIND"} - allowed:
            with subtests.test(path=path, method=method), service.client(agent.token) as client:
                answer = client.request(method, path)
                assert answer.status_code == 405
                assert set(answer.headers["Allow"].split(", ")) == allowed
                if method != "HEAD":
                    _assert_refused(answer, {405})
    assert agent.get().json()["revision"] == 0


def test_requests_that_are_not_http_are_turned_down(service: Server, subtests: pytest.Subtests) -> None:
    for sent in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        "GET /v1/sessions/é HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(),
        b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nBad Header\r\n\r\n",
        b"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\n"
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    ):
        with subtests.test(sent=sent[:60]):
            answer = _raw(service.url, sent)
            assert answer.startswith(b"HTTP/1.1 4"), answer


def test_callers_that_go_away_or_dawdle_hold_nobody_up(service: Server) -> None:
    """In the middle of a header, of a body, of a stream and of a wait."""
    agent = service.open()
    agent.call("edit", GOOD_EDIT | {"content": "    # fake: seconds=1"})
    agent.call("test")
    auth = f"Host: localhost\r\nAuthorization: Bearer {agent.token}\r\n"
    where = f"/v1/sessions/{agent.id}/tests/1"
    began = [
        b"GET /healthz HT",
        f"POST /v1/sessions HTTP/1.1\r\n{auth}Content-Length: 100\r\n\r\n{{".encode(),
        f"GET {where}/events HTTP/1.1\r\n{auth}\r\n".encode(),
        f"GET {where}?wait=60 HTTP/1.1\r\n{auth}\r\n".encode(),
    ]
    connections = [_connect(service.url) for _ in range(40)]
    for position, connection in enumerate(connections):
        connection.sendall(began[position % len(began)])
    with service.client() as client:
        assert client.get("/healthz", timeout=3).is_success
    for connection in connections[::2]:
        connection.close()
    assert agent.result(1)["status"] == "succeeded"
    for connection in connections[1::2]:
        connection.close()


# --- what the tests above share ----------------------------------------------------------------------------------


def _assert_refused(answer: Any, statuses: set[int]) -> None:
    assert answer.status_code in statuses, answer.text[:500]
    body = answer.json()
    assert body["ok"] is False
    assert body["observation"].startswith("ERROR: ")
    assert body["code"]
    assert "Traceback" not in answer.text
    assert len(body["observation"]) < 1500


def _short(value: object) -> str:
    return ascii(value)[:80]


def _padded(arguments: dict[str, Any], size: int) -> bytes:
    body = json.dumps(arguments).encode()
    return body + b" " * (size - len(body))


def _count(service: Server, table: str) -> int:
    """Rows of a table, asked of the database itself."""
    engine = create_engine(service.database, poolclass=NullPool)
    with engine.connect() as connection:
        return int(connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one())


def _send(
    url: str, method: str, path: str, token: str, body: bytes | None = None, chunked: bool = False
) -> tuple[int, Any]:
    """Sends a path just as it is; a client library would tidy it up first."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        connection._validate_path = lambda _: None  # type: ignore[attr-defined]
        connection._encode_request = lambda request: request.encode()  # type: ignore[attr-defined]
        sent = (body[at : at + 65536] for at in range(0, len(body), 65536)) if body and chunked else body
        try:
            connection.request(method, path, sent, headers, encode_chunked=chunked)
        except (BrokenPipeError, ConnectionResetError):
            assert len(body or b"") > LIMIT, "only what is too long is answered before it was sent"
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def _connect(url: str) -> socket.socket:
    parts = urlsplit(url)
    assert parts.hostname is not None
    return socket.create_connection((parts.hostname, parts.port), timeout=5)


def _raw(url: str, sent: bytes) -> bytes:
    with _connect(url) as connection:
        connection.sendall(sent)
        return connection.recv(65536)
