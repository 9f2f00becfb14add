"""Who may do what over HTTP, and that no secret is kept where it can be read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.service import TASK, Serve, Server

OPEN = {"task": TASK, "agent": "tester"}
EDIT = {"op": "replace", "start_line": 246, "end_line": 246, "content": "    # fake: seconds=20"}
KEY = "operator-key-0123456789"
READS = ("", "/trajectory", "/tests/1", "/tests/1/events")
TOOLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("edit", EDIT),
    ("view", {}),
    ("undo", {"n": 1}),
    ("probe", {}),
    ("test", {}),
    ("submit", {"n": 1}),
)


def test_every_call_in_a_session_needs_its_own_token(shared: Server, subtests: pytest.Subtests) -> None:
    service = shared
    agent, other = service.open(), service.open()
    agent.post("/test?wait=30")
    before = agent.get("/trajectory").json()
    strangers = {
        None: (401, "token_required"),
        "rf_" + "x" * 43: (403, "wrong_token"),
        other.token: (403, "wrong_token"),
    }
    for token, (status, code) in strangers.items():
        with service.client(token) as client:
            calls = [("GET", path, None) for path in (*READS, "/probes/1", "/probes/1/events")]
            calls += [("POST", f"/{kind}/1/cancel", None) for kind in ("tests", "probes")]
            for method, path, body in [*calls, *(("POST", f"/{tool}", arguments) for tool, arguments in TOOLS)]:
                with subtests.test(path=path, code=code, token=token):
                    answer = client.request(method, f"/v1/sessions/{agent.id}{path}", json=body)
                    assert answer.status_code == status
                    assert answer.json()["code"] == code
                    assert answer.json()["observation"].startswith("ERROR: ")
                    assert ("WWW-Authenticate" in answer.headers) is (status == 401)
    assert agent.get("/trajectory").json() == before


def test_opening_needs_an_operator_key_where_keys_are_configured(serve: Serve) -> None:
    service = serve("--runner", "fake", "--key", KEY, "--key", "another-key")
    for token in (None, "", "wrong", KEY[:-1], KEY + "x", KEY.upper(), f"{KEY},another-key"):
        with service.client(token or None) as client:
            refused = client.post("/v1/sessions", json=OPEN)
        assert refused.status_code == 401
        assert refused.json()["code"] == "operator_key_required"
        assert refused.headers["WWW-Authenticate"] == "Bearer"
    opened = []
    for token in (KEY, "another-key"):
        with service.client(token) as client:
            opened.append(client.post("/v1/sessions", json=OPEN))
    assert [answer.status_code for answer in opened] == [201, 201]
    with service.client(opened[0].json()["token"]) as client:  # an agent opens no sessions
        assert client.post("/v1/sessions", json=OPEN).status_code == 401


def test_an_operator_may_read_and_cancel_but_not_act(serve: Serve) -> None:
    service = serve("--runner", "fake", "--key", KEY)
    with service.client(KEY) as operator:
        opened = operator.post("/v1/sessions", json=OPEN).json()
        path = f"/v1/sessions/{opened['session_id']}"
        with service.client(opened["token"]) as agent:
            assert agent.post(f"{path}/edit", json=EDIT).status_code == 200
            assert agent.post(f"{path}/test").status_code == 202
        for tool, arguments in TOOLS:
            refused = operator.post(f"{path}/{tool}", json=arguments)
            assert refused.status_code == 403
            assert refused.json()["code"] == "wrong_token"
        assert operator.post(f"{path}/tests/1/cancel").json()["status"] == "cancelled"
        for read in READS:
            assert operator.get(f"{path}{read}").status_code == 200
        assert operator.get(path).json()["steps"] == 3  # the cancellation is one, and says whose it was


def test_no_secret_is_stored(serve: Serve) -> None:
    """Also not in an answer that is kept for its Idempotency-Key, nor the key itself."""
    service = serve("--runner", "fake", "--key", KEY)
    with service.client(KEY) as operator:
        headers = {"Idempotency-Key": "repeat-me-0123456789"}
        first, second = (operator.post("/v1/sessions", json=OPEN, headers=headers).json() for _ in range(2))
        assert first["token"] == second["token"]
        with service.client(first["token"]) as agent:
            for tool, arguments in TOOLS:
                agent.post(f"/v1/sessions/{first['session_id']}/{tool}", json=arguments, headers=headers)
    service.stop()
    files = [path for path in service.state.rglob("*") if path.is_file()]
    stored = b"".join(path.read_bytes() for path in files) + service.log().encode()
    assert first["session_id"].encode() in stored
    for secret in (first["token"], first["token"].removeprefix("rf_"), KEY, headers["Idempotency-Key"]):
        assert secret.encode() not in stored
    assert (service.state / "secret").stat().st_mode & 0o077 == 0


def test_tokens_outlive_the_service(serve: Serve) -> None:
    service = serve()
    agent = service.open()
    agent.call("edit", EDIT)
    service.kill()
    service.start()
    assert agent.get().json()["revision"] == 1
    assert agent.call("undo").status_code == 200


def test_the_service_listens_to_others_only_with_keys(tmp_path: Path, subtests: pytest.Subtests) -> None:
    cases = [((host,), "without operator keys") for host in ("0.0.0.0", "::", "", "example.org", "127.0.0.2")]
    cases += [(("0.0.0.0", "--key", key), "an operator key must be printable") for key in ("", "a b", "ключ")]
    for arguments, words in cases:
        with subtests.test(arguments=arguments):
            ended = subprocess.run(
                [sys.executable, "-m", "env.cli", "serve", "--port", "0", "--runner", "fake", "--host", *arguments],
                capture_output=True,
                text=True,
                timeout=30,
                cwd=tmp_path,
                env={"PYTHONPATH": str(Path(__file__).parents[2])},
            )
            assert ended.returncode == 2
            assert ended.stderr.startswith("ERROR: ")
            assert words in ended.stderr
            assert len(ended.stderr.splitlines()) == 1
            assert ended.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_a_bearer_of_nothing_is_nobody(serve: Serve) -> None:
    service = serve("--runner", "fake", "--key", KEY)
    for value in ("Bearer", "bearer", "Basic", "Bearer\t"):
        with service.client() as client:
            assert client.post("/v1/sessions", json=OPEN, headers={"Authorization": value.strip()}).status_code == 401


def test_the_names_of_baselines_are_reserved(shared: Server) -> None:
    with shared.client() as client:
        for agent in ("baseline:x", "baseline:", "baseline: gpt"):
            refused = client.post("/v1/sessions", json=OPEN | {"agent": agent})
            assert refused.status_code == 422
            assert refused.json()["code"] == "bad_agent"
            assert "'baseline:', which is reserved" in refused.json()["observation"]
        assert client.post("/v1/sessions", json=OPEN | {"agent": "my/baseline:x"}).status_code == 201


def test_a_service_without_keys_answers_to_its_own_names_only(shared: Server, serve: Serve) -> None:
    """A page in a browser on this host may have its own name resolved to it."""
    strangers = (
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "[::2]:8080",
        "[",
    )
    names = ("localhost", "LOCALHOST:9000", "127.0.0.1:1", "[::1]", "[::1]:8080")
    with shared.client() as client:
        for path in ("/", "/v1/tasks", "/metrics"):
            for host in strangers:
                refused = client.get(path, headers={"Host": host})
                assert (refused.status_code, refused.json()["code"]) == (403, "host_not_allowed"), host
            assert {client.get(path, headers={"Host": host}).status_code for host in names} == {200}
        assert client.post("/v1/sessions", json=OPEN, headers={"Host": "evil.example"}).status_code == 403
    with serve("--runner", "fake", "--key", KEY).client(KEY) as operator:
        assert operator.get("/v1/tasks", headers={"Host": "ringfence.example"}).status_code == 200
