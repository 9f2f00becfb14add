"""The doctor's findings on real states of a host."""

from __future__ import annotations

import json
import socket
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from env.cli import app
from env.operators.doctor.facts import digest_of
from env.store.engine import open_database
from tests.support.containers import engine_client
from tests.support.service import Serve

Findings = dict[str, tuple[str, str, str]]
PLAIN = dict.fromkeys(
    f"RINGFENCE_{name}" for name in ("DB", "RUNNER", "TASKS", "DATA", "STATE", "SCALE", "IMAGE", "SANDBOX", "PORT")
)


def examined(state: Path, *arguments: str, **environment: str) -> tuple[int, Findings]:
    """Exit status, and subject to (level, seen, remedy)."""
    command = ["doctor", "--state", str(state), "--json", *arguments]
    shown = CliRunner().invoke(app, command, catch_exceptions=False, env={**PLAIN, **environment})
    found = json.loads(shown.stdout)
    assert all(one["remedy"] for one in found if one["level"] != "ok")
    return shown.exit_code, {one["subject"]: (one["level"], one["seen"], one["remedy"]) for one in found}


@pytest.fixture
def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def test_a_host_for_development_is_well(tmp_path: Path, free_port: str) -> None:
    status, found = examined(tmp_path / "state", "--runner", "local", "--port", free_port)
    assert status == 0
    for subject in ("state", "database", "port", "runner", "sandbox", "torch", "lm-eval", "evaluator"):
        assert found[subject][0] == "ok", found[subject]
    assert found["data fineweb10b/train"][0] == "warning"
    assert not (tmp_path / "state").exists()


def test_no_engine_is_a_problem(tmp_path: Path, free_port: str) -> None:
    status, found = examined(tmp_path, "--port", free_port, DOCKER_HOST="unix:///dev/null/no-engine")
    assert status == 1
    assert found["runner"][0] == "problem"
    assert "engine" in found["runner"][1]


@pytest.mark.docker
def test_an_image_without_the_evaluator_is_a_problem(
    tmp_path: Path, free_port: str, engine_url: str | None, host_image: str, host_sandbox: Any
) -> None:
    settings = tmp_path / "sandbox.toml"
    binds = "".join(f"{json.dumps(place)} = {json.dumps(place)}\n" for place in host_sandbox.binds)
    path = json.dumps(host_sandbox.environment["PATH"])
    settings.write_text(f"cpus = 1\nenvironment = {{PATH = {path}}}\n[binds]\n{binds}")
    more = {"DOCKER_HOST": engine_url} if engine_url else {}
    arguments = ("--image", host_image, "--sandbox", str(settings), "--port", free_port)
    status, found = examined(tmp_path / "state", *arguments, **more)
    assert found["sandbox"][0] == "ok", found["sandbox"]
    assert found["runner"][1].startswith("docker, engine ")
    with engine_client(engine_url) as client:
        old = client.info()["CgroupVersion"] == "1"
    assert ("control groups" in found) == old
    settings.write_text("")  # an empty image: not even a Python
    status, found = examined(tmp_path / "state", *arguments, **more)
    assert status == 1
    assert "problem" in (found["runner"][0], found.get("sandbox", ("",))[0])


def test_a_running_service_is_seen(serve: Serve) -> None:
    server = serve("--runner", "fake")
    status, found = examined(server.state, "--runner", "fake", "--port", server.url.rpartition(":")[2])
    assert status == 0
    assert found["state"][:2] == ("warning", f"{server.state}: a service is running on it")
    assert found["port"][0] == "warning"
    assert found["database"][0] == "ok"


def test_a_port_that_is_taken_is_a_problem(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        status, found = examined(tmp_path, "--runner", "fake", "--port", str(taken.getsockname()[1]))
    assert status == 1
    assert found["port"][0] == "problem"


def test_a_damaged_database_is_a_problem(tmp_path: Path, free_port: str) -> None:
    file = tmp_path / "ringfence.db"
    open_database(f"sqlite:///{file}").dispose()
    data = bytearray(file.read_bytes())
    data[4096:8192] = b"\xff" * 4096
    file.write_bytes(data)
    status, found = examined(tmp_path, "--runner", "fake", "--port", free_port)
    assert (status, found["database"][0]) == (1, "problem")


def test_a_database_of_a_newer_version_is_a_problem(tmp_path: Path, free_port: str) -> None:
    file = tmp_path / "ringfence.db"
    open_database(f"sqlite:///{file}").dispose()
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version_env SET version_num = '9999'")
    connection.close()
    status, found = examined(tmp_path, "--runner", "fake", "--port", free_port)
    assert status == 1
    assert "alembic_version_env 9999" in found["database"][1]


@pytest.mark.parametrize(
    "url", ["nonsense", "postgresql+psycopg://nobody@127.0.0.1:1/none", "sqlite:////dev/null/a.db"]
)
def test_a_database_that_cannot_be_reached_is_no_traceback(tmp_path: Path, free_port: str, url: str) -> None:
    _, found = examined(tmp_path, "--runner", "fake", "--port", free_port, "--db", url)
    assert found["database"][0] in ("problem", "ok")
    assert (found["database"][0] == "ok") == url.startswith("sqlite")


def test_broken_tasks_and_half_prepared_data_are_found(tmp_path: Path, free_port: str) -> None:
    (tmp_path / "data" / "fineweb10b" / "train").mkdir(parents=True)
    (tmp_path / "data" / "fineweb10b" / "train" / "train.bin").touch()
    status, found = examined(tmp_path, "--runner", "fake", "--port", free_port, "--tasks", str(tmp_path / "none"))
    assert status == 1
    assert found["tasks"][0] == "problem"
    assert found["data fineweb10b/train"][1].startswith("dev.bin missing")


def test_a_scale_on_gpus_without_gpus_is_a_problem(tmp_path: Path, free_port: str) -> None:
    status, found = examined(tmp_path, "--runner", "fake", "--port", free_port, "--scale", "gpt-345m")
    assert found["data fineweb10b/heldout"][0] == "problem"
    assert found["gpus"][0] in ("problem", "ok", "warning")
    assert status == 1


def test_the_data_set_that_would_be_served_is_looked_for(tmp_path: Path, free_port: str) -> None:
    chosen = ("--scale", "gpt-345m", "--data-set", "climbmix")
    _, found = examined(tmp_path, "--runner", "fake", "--port", free_port, *chosen)
    assert found["data climbmix/train"][0] == "problem"
    assert found["data climbmix/train"][2] == "ringfence data prepare all --data-set climbmix"
    assert "data fineweb10b/train" not in found


def test_without_json_each_line_has_a_level(tmp_path: Path, free_port: str) -> None:
    command = ["doctor", "--state", str(tmp_path), "--runner", "fake", "--port", free_port]
    lines = CliRunner().invoke(app, command, catch_exceptions=False, env=PLAIN).stdout.splitlines()
    assert all(line.startswith(("ok ", "warning ", "problem ")) or line.lstrip().startswith("→") for line in lines)
    assert any("ringfence data prepare all" in line for line in lines)


def test_a_change_in_a_sub_folder_changes_the_digest_of_what_scores(tmp_path: Path) -> None:
    deep = tmp_path / "judge" / "audits.py"
    deep.parent.mkdir()
    digests = [digest_of(tmp_path)]
    for text in ("", "limit = 1\n", "limit = 2\n"):
        deep.write_text(text)
        digests.append(digest_of(tmp_path))
    deep.rename(tmp_path / "audits.py")
    digests.append(digest_of(tmp_path))
    assert digests[0] == ""
    assert len(set(digests)) == len(digests)
