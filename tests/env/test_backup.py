"""`ringfence backup`, `restore` and `sessions`, beside a running service and without one."""

from __future__ import annotations

import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.support.service import COMMAND, Agent, Serve, Server
from tests.support.tasks import write_quick_task


def ringfence(*arguments: str, status: int = 0) -> str:
    """What the command printed, standard error included."""
    done = subprocess.run(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False
    )
    assert done.returncode == status, done.stdout
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_backup_of_a_running_service_serves_and_scores_elsewhere(serve: Serve, tmp_path: Path) -> None:
    tasks = str(write_quick_task(tmp_path / "quick"))
    first = serve("--runner", "local", "--tasks", tasks)
    agent = first.open("quick")
    tested = agent.post("/test?wait=60").json()["test"]
    result = agent.result(tested["n"])
    assert result["status"] == "succeeded"
    data = next(first.arguments[at + 1] for at, name in enumerate(first.arguments) if name == "--data")
    kept = tmp_path / "kept.tar"
    told = ringfence("backup", str(kept), "--state", str(first.state), "--data", data)
    assert "It holds the secret" in told
    assert kept.stat().st_mode & 0o777 == 0o600
    assert "nothing is overwritten" in ringfence("backup", str(kept), "--state", str(first.state), status=1)
    first.stop()

    restored = tmp_path / "elsewhere"
    ringfence("restore", str(kept), "--state", str(restored))
    assert "is not empty" in ringfence("restore", str(kept), "--state", str(restored), status=1)
    for name in ("smoke/train/meta.json", "smoke/heldout/meta.json", "smoke/train/train.bin"):
        assert (restored / "data" / name).read_bytes() == Path(data, name).read_bytes()
    second = Server(restored, ("--runner", "local", "--tasks", tasks))
    try:
        second.start()
        again = Agent(second, agent.opened)
        assert again.get("/tests/1").json()["metrics"] == result["metrics"]
        assert again.post("/test?wait=60").status_code == 202
        assert again.result(2)["status"] == "succeeded"
        assert again.call("submit", {"n": 2}).status_code == 200
        with second.client() as client:
            assert client.get("/v1/leaderboards/quick").json()["total"] == 1
    finally:
        second.close()


def test_a_damaged_backup_is_refused(shared: Server, tmp_path: Path) -> None:
    kept = tmp_path / "kept.tar"
    ringfence("backup", str(kept), "--state", str(shared.state))
    with tarfile.open(kept) as archive:
        names = archive.getnames()
        offset = archive.getmember("ringfence.db").offset_data
    assert names[0] == "secret"
    assert names[-1] == "manifest.json"
    whole = kept.read_bytes()
    kept.write_bytes(whole[: offset + 100] + bytes([whole[offset + 100] ^ 1]) + whole[offset + 101 :])
    assert "ringfence.db has changed" in ringfence("restore", str(kept), "--state", str(tmp_path / "a"), status=1)
    kept.write_bytes(whole[: len(whole) // 2])
    ringfence("restore", str(kept), "--state", str(tmp_path / "a"), status=1)
    assert not (tmp_path / "a").exists()


def test_a_server_database_is_told_how_to_be_backed_up(shared: Server, tmp_path: Path) -> None:
    kept = tmp_path / "kept.tar"
    url = "postgresql+psycopg://me:hidden@db/ringfence"
    told = ringfence("backup", str(kept), "--state", str(shared.state), "--db", url)
    assert "pg_dump --format=custom --file=ringfence.pgdump 'postgresql://me:***@db/ringfence'" in told
    with tarfile.open(kept) as archive:
        assert "ringfence.db" not in archive.getnames()
    told = ringfence("restore", str(kept), "--state", str(tmp_path / "a"), "--db", url)
    assert "pg_restore" in told


def test_what_is_no_state_folder_is_not_backed_up(tmp_path: Path) -> None:
    assert "no service's state folder" in ringfence("backup", str(tmp_path / "b"), "--state", str(tmp_path), status=1)
    assert not (tmp_path / "b").exists()


def test_sessions_are_listed_shown_and_closed_beside_a_service_and_without_it(serve: Serve) -> None:
    server = serve("--runner", "fake")
    first, second = server.open(), server.open()
    first.post("/test?wait=30")
    edit = {"op": "replace", "start_line": 246, "end_line": 246, "content": "    # fake: hang\n"}
    assert first.call("edit", edit).status_code == 200
    first.call("test")
    at = ("--state", str(server.state))
    listed = {one["id"]: one for one in json.loads(ringfence("sessions", "list", "--json", *at))}
    assert listed[first.id]["state"] == listed[second.id]["state"] == "open"
    assert (listed[first.id]["tests"], listed[first.id]["unfinished"], listed[first.id]["steps"]) == (2, 1, 3)
    assert "test #2: running" in ringfence("sessions", "show", first.id, *at)

    ringfence("sessions", "close", first.id, *at)
    seen = first.get().json()
    assert (seen["state"], seen["submission"]["n"]) == ("submitted", 1)
    assert first.result(2, patience_s=30)["status"] == "cancelled"
    assert first.call("test").json()["code"] == "session_closed"
    assert "closed already" in ringfence("sessions", "close", first.id, *at, status=1)
    refused = second.post("/close")
    assert (refused.status_code, refused.json()["code"]) == (403, "operator_key_required")

    server.stop()
    ringfence("sessions", "close", second.id, *at)
    assert json.loads(ringfence("sessions", "list", "--open", "--json", *at)) == []
    assert "an operator closed it" in ringfence("sessions", "show", second.id, *at)
    assert "no session" in ringfence("sessions", "show", "nobody", *at, status=1)
    assert second.id in ringfence("sessions", "list", *at)
