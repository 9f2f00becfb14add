"""Commands on terminals, docker contexts and installations as they are found."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import subprocess
from pathlib import Path

import pytest

from ringfence.api import distribution
from runner.container.engine import Engine, EngineError
from tests.support.processes import plain_environment
from tests.support.service import COMMAND


@pytest.mark.parametrize("encoding", ["iso-8859-1", "ascii"])
@pytest.mark.parametrize("command", ["tasks", "doctor --runner fake --port 0", "serve --help", "sessions list"])
def test_no_terminal_stops_a_command(command: str, encoding: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, *command.split()],
        capture_output=True,
        timeout=120,
        check=False,
        cwd=tmp_path,
        env=plain_environment() | {"PYTHONIOENCODING": encoding},
    )
    assert b"Traceback" not in done.stderr, done.stderr
    assert done.returncode == (1 if command == "sessions list" else 0)  # where there is no database


def test_a_source_tree_knows_its_version_and_requirements(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = distribution.own_version(), distribution.requirements()

    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    monkeypatch.setattr(importlib.metadata, "requires", absent)
    assert distribution.own_version.__wrapped__() == installed[0]
    told = {one.partition(";")[0].strip() for one in installed[1] if not one.startswith("ringfence")}
    assert "torch==2.13.0" in told
    assert told <= set(distribution.requirements.__wrapped__())


def context(home: Path, name: str, host: str) -> None:
    folder = home / ".docker" / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    folder.mkdir(parents=True)
    about = {"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": False}}}
    (folder / "meta.json").write_text(json.dumps(about))


@pytest.mark.parametrize("by", ["variable", "use"])
@pytest.mark.parametrize(
    ("host", "told"),
    [
        (None, "there is no docker context mine"),
        ("ssh://me@there", "an engine elsewhere"),
        ("unix:///nowhere/to/be/found.sock", "cannot reach the container engine"),
    ],
)
def test_a_docker_context_is_heeded_or_refused_in_words(
    by: str, host: str | None, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker" / "config.json").write_text(json.dumps({"currentContext": "mine"} if by == "use" else {}))
    if by == "variable":
        monkeypatch.setenv("DOCKER_CONTEXT", "mine")
    if host is not None:
        context(tmp_path, "mine", host)
    with pytest.raises(EngineError, match=told):
        Engine()
