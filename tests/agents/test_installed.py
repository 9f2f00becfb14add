"""The wheel, installed as others install it and used in a folder with files named like our packages."""

from __future__ import annotations

import json
import sysconfig
from pathlib import Path

import pytest

from tests.support.environments import build_wheel, make_environment
from tests.support.processes import plain_environment, run_to_end
from tests.support.service import TASK, Serve, Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

OURS = """\
import sys
import env, runner, tasks.mine, templates.mine
from ringfence.client import AsyncClient, Client
assert (env.WHOSE, runner.WHOSE, tasks.mine.WHOSE, templates.mine.WHOSE) == ("user",) * 4
assert not {"fastapi", "sqlalchemy", "torch"} & set(sys.modules)
with Client(sys.argv[1]) as client, client.open("llm-pretrain-loss", "installed", scale="smoke") as session:
    print(session.check().observation)
    print(session.test().status)
    print(session.submit(1).observation)
    print(client.leaderboard("llm-pretrain-loss").rows[0].agent)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's: two modules and two folders, one of them no regular package, by names that we have too."""
    one = tmp_path_factory.mktemp("user")
    for name in (
        "env.py",
        "runner.py",
        "leaderboard.py",
        "tasks/mine.py",
        "templates/__init__.py",
        "templates/mine.py",
    ):
        (one / name).parent.mkdir(exist_ok=True)
        (one / name).write_text('WHOSE = "user"\n')
    (one / "ours.py").write_text(OURS)
    return one


@pytest.mark.parametrize("minor", [11, 12, 13])
def test_the_client_lives_beside_a_users_files(
    minor: int, wheel: Path, folder: Path, shared: Server, tmp_path: Path
) -> None:
    python = make_environment(tmp_path / "client", str(wheel), minor=minor)
    told = run_to_end([str(python), "ours.py", shared.url], cwd=folder)
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines()[-1] == "installed"
    alone = run_to_end([str(python.with_name("ringfence")), "serve"], cwd=folder)
    assert alone.returncode == 1
    assert "pip install 'ringfence[service]'" in alone.stderr


def test_inspect_knows_the_task_by_its_name(wheel: Path, folder: Path, scored: Server, tmp_path: Path) -> None:
    python = make_environment(tmp_path / "inspect", f"{wheel}[inspect]", minor=12)
    command = [str(python), str(Path(__file__).with_name("inspect_eval.py")), scored.url, str(tmp_path / "logs"), TASK]
    told = run_to_end([*command, json.dumps([[["test", {}], ["submit", {"n": 1}]]])], cwd=folder)
    assert told.returncode == 0, told.stdout + told.stderr
    [sample] = json.loads(told.stdout.splitlines()[-1])["samples"]
    value = sample["scores"]["submitted_result"]["value"]
    assert (sample["error"], value["submitted"], value["score"] > 0) == (None, 1, True)


@pytest.mark.parametrize(("minor", "runner"), [(11, "local"), (13, "fake")])
def test_the_service_is_not_led_astray_by_a_users_files(
    minor: int,
    runner: str,
    wheel: Path,
    folder: Path,
    serve: Serve,
    smoke_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its own processes neither: that of long reads, those that hold runs, and what runs in them."""
    python = make_environment(tmp_path / "service", f"{wheel}[service]", minor=minor)
    if runner == "local":
        # Of this environment's packages torch and what it needs: they take long to install. Ours is not among them.
        added = python.parents[1] / "lib" / f"python3.{minor}" / "site-packages" / "borrowed.pth"
        added.write_text(sysconfig.get_path("purelib"))
    ringfence = str(python.with_name("ringfence"))
    shown = run_to_end([ringfence, "tasks"], env=plain_environment() | {"PYTHONPATH": str(folder)}, cwd=folder)
    assert shown.stdout.startswith("llm-pretrain-"), shown.stderr
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    service = serve("--runner", runner, "--data", str(smoke_data), command=(str(python), "-m", "ringfence"))
    agent = service.open("llm-pretrain-loss", scale="smoke")
    assert agent.call("check").json()["observation"].startswith("[check] Passed")
    with service.client() as client:
        assert client.get("/v1/leaderboards/llm-pretrain-loss").json()["rows"] == []
        assert client.get("/tasks/llm-pretrain-loss").status_code == 200
