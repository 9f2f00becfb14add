"""One database that served with several runners and data folders: no page, JSON or CSV mixes what they gave.

The database has invented results of a service with the fake runner, and rows as the service's own code writes them of
tests in containers and without a sandbox, on two data folders, at an earlier version of the task, at another scale, and
from before anything of this was recorded. The lower a row's loss is, the less it may win.
"""

from __future__ import annotations

import csv
import html
import io
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from env.lifecycle.record import data_digests, result_of
from env.store.engine import open_database
from env.store.model import Run, Session, Status, Submission, Test
from env.store.store import Store
from env.store.tables import tests
from leaderboard import writing
from leaderboard.board import data_key
from leaderboard.model import Result
from runner.data import prepare_smoke
from runner.metrics import TrainMetrics
from tasks.load import find_tasks
from tasks.model import Task
from tests.support.service import TASK, Agent, Serve, Server
from tests.support.waiting import until

START = datetime(2026, 11, 3, 12, tzinfo=UTC)
FAKE, PLAIN, LOST = "invented by the fake runner", "run without a sandbox", "runner not recorded"
IMAGE = "sha256:" + "1f" * 32


@dataclass(frozen=True, kw_only=True)
class Row:
    """A stored row, and on which board it has to be found."""

    agent: str
    board: str
    loss: float
    runner: str | None = "docker"
    data: str | None = "a"
    scale: str = "smoke"
    status: str = "succeeded"
    code: str = "same"
    old_task: bool = False


ROWS = [
    Row(agent="docker-a", board="docker a", loss=2.5),
    Row(agent="docker-a-second", board="docker a", loss=2.6, code="other"),
    Row(agent="docker-a-cancelled", board="docker a", loss=0.4, status="cancelled"),
    Row(agent="docker-a-rejected", board="docker a", loss=0.3, status="rejected"),
    Row(agent="baseline:docker-a", board="docker a", loss=2.55),
    Row(agent="docker-b", board="docker b", loss=2.0, data="b"),
    Row(agent="baseline:docker-b", board="docker b", loss=1.9, data="b"),
    Row(agent="docker-big", board="docker big", loss=2.1, data=None, scale="gpt-345m"),
    Row(agent="docker-old", board="docker old", loss=1.5, old_task=True),
    Row(agent="baseline:docker-old", board="docker old", loss=1.4, old_task=True),
    Row(agent="local-a", board="local a", loss=1.2, runner="local"),
    Row(agent="baseline:local-a", board="local a", loss=1.1, runner="local"),
    Row(agent="local-b", board="local b", loss=1.0, runner="local", data="b"),
    Row(agent="fake-stored", board="fake", loss=0.2, runner="fake", data=None),
    Row(agent="nobody-knows", board="unknown", loss=0.9, runner=None, data=None),
    Row(agent="baseline:nobody-knows", board="unknown", loss=0.8, runner=None, data=None),
]
MARKS = {"fake": FAKE, "local a": PLAIN, "local b": PLAIN, "unknown": LOST}
BEST = {
    "docker a": "docker-a",
    "docker b": "docker-b",
    "docker big": "docker-big",
    "docker old": "docker-old",
    "local a": "local-a",
    "local b": "local-b",
    "fake": "fake-stored",
    "unknown": "nobody-knows",
}


@dataclass(frozen=True, kw_only=True)
class Played:
    """The database, where its data was, and the boards by their names here."""

    server: Server
    data: Mapping[str, Path]
    ids: Mapping[str, str]
    sessions: Mapping[str, str]
    """By agent."""

    def serving(self, *options: str) -> Server:
        """The service again on the same database, with other options."""
        self.server.stop()
        self.server.arguments = options
        return self.server.start()

    def name(self, board_id: str) -> str:
        return next(name for name, one in self.ids.items() if one == board_id)

    def agents(self, board: str) -> set[str]:
        return {row.agent for row in ROWS if row.board == board} | ({"played-here"} if board == "fake" else set())


def stored(store: Store, task: Task, number: int, row: Row, folders: Mapping[str, Path]) -> Result:
    """Writes a session with one finished, submitted test, and its row, as the service does."""
    version = replace(task, description=task.description + "\nAs it was.") if row.old_task else task
    session = Session(
        id=f"{number:016x}",
        task=version,
        agent=row.agent,
        scale=row.scale,
        metadata={},
        token_sha256="",
        created_at=START,
    )
    data_dir = None if row.data is None else folders[row.data]
    text = task.text.replace("CONFIG_OVERRIDES = {}", "CONFIG_OVERRIDES = {}  # " + row.code)
    test = Test(session_id=session.id, n=1, status=Status.QUEUED, files={task.filename: text}, created_at=START)
    label = session.size.stages[0].label
    run = Run(
        run_id=f"{session.id}-1-0",
        position=0,
        label=label,
        script="scripts/x.sh",
        status=Status(row.status),
        started_at=1.0,
        ended_at=2.0,
        series=(TrainMetrics(1, row.loss, row.loss),),
        metrics={"val_loss": row.loss},
    )
    at = START + timedelta(minutes=number)
    with store.begin() as conn:
        store.add_session(conn, session)
        store.add_test(conn, test)
        digests = None if row.runner is None else data_digests(session.size, data_dir)
        test = replace(test, status=Status.RUNNING, started_at=at, runner=row.runner, data=digests)
        store.set_running(conn, test)
        store.add_run(conn, test, run)
        test = replace(test, status=Status(row.status), ended_at=at, observation="over", runs=(run,))
        store.finish(conn, test)
        machine = {"cpu": "c", "gpus": "none"} | ({"image": IMAGE} if row.runner == "docker" else {})
        result = result_of(session, test, machine, data_dir=data_dir)
        if row.runner is None:
            result = replace(result, record={"template_unmodified": False})
        assert writing.record(conn, result)
        store.submit(conn, session.id, Submission(test=1, at=at))
        writing.submit(conn, session.id, result.run_key, at)
    return result


@pytest.fixture(scope="module")
def played(serve_shared: Serve, tmp_path_factory: pytest.TempPathFactory) -> Played:
    data = {name: tmp_path_factory.mktemp(f"data-{name}") for name in ("a", "b")}
    for folder in data.values():
        prepare_smoke(folder)
    server = serve_shared("--runner", "fake")
    agent = server.open(agent="played-here", scale="smoke")
    assert agent.post("/test?wait=30").json()["test"]["status"] == "succeeded"
    agent.call("submit", {"n": 1})
    server.stop()
    engine = open_database(server.database)
    task = find_tasks(())[TASK].task
    results = {row.agent: stored(Store(engine), task, n, row, data) for n, row in enumerate(ROWS, 1)}
    engine.dispose()
    ids = {row.board: results[row.agent].board.id for row in ROWS}
    assert len(set(ids.values())) == len(ids) == 8
    sessions = {name: result.session_id for name, result in results.items()} | {"played-here": agent.id}
    return Played(server=server, data=data, ids=ids, sessions=sessions)


@pytest.fixture(scope="module", params=["fake", "local a", "local b"])
def service(request: pytest.FixtureRequest, played: Played) -> tuple[str, Server]:
    """The service on that database with another runner or other data, and the board of its own results."""
    runner, _, folder = str(request.param).partition(" ")
    options = ["--runner", runner, *(("--data", str(played.data[folder])) if folder else ())]
    if "--db" in played.server.arguments:
        options += ["--db", played.server.database]
    return str(request.param), played.serving(*options)


@pytest.fixture
def client(service: tuple[str, Server]) -> Iterator[httpx.Client]:
    with service[1].client() as client:
        yield client


def shown_agents(page: str) -> list[str]:
    """Of the page's table, from its first row to its last."""
    return re.findall(r'<th scope="row"><a href="[^"]*">([^<]+)</a>', page)


def own_part(page: str) -> str:
    """A task's page without the choice among its boards."""
    return re.sub(r'<select name="board">.*?</select>', "", page, flags=re.S)


def test_every_table_is_of_one_board_and_json_csv_and_page_agree(client: httpx.Client, played: Played) -> None:
    for name, board in played.ids.items():
        query = {"board": board, "final": "false"}
        told = client.get(f"/v1/leaderboards/{TASK}", params=query).json()
        rows = told["rows"]
        assert {row["agent"] for row in rows} == played.agents(name)
        assert (told["board"]["id"], told["board"]["mark"]) == (board, MARKS.get(name, ""))
        assert {row["board"] for row in rows} == {board}
        assert {(row["runner_class"], row["task_version"], row["scale"]) for row in rows} == {
            (told["board"]["runner_class"], told["board"]["task_version"], told["board"]["scale"])
        }
        assert len({(row["training_data"], row["heldout_data"]) for row in rows}) == 1
        exported = client.get(f"/v1/leaderboards/{TASK}.csv", params=query).text
        cells = list(csv.DictReader(io.StringIO(exported, newline="")))
        assert [(one["agent"], one["board"], one["runner_class"]) for one in cells] == [
            (row["agent"], row["board"], row["runner_class"]) for row in rows
        ]
        page = client.get(f"/tasks/{TASK}", params=query).text
        assert shown_agents(page) == [row["agent"] for row in rows]
        for mark in (FAKE, PLAIN, LOST):
            assert (mark in own_part(page)) == (mark == MARKS.get(name)), (name, mark)
        others = {agent for other in played.ids for agent in played.agents(other)} - played.agents(name)
        assert [agent for agent in others if re.search(rf"\b{agent}\b", own_part(page))] == []


def test_only_what_succeeded_wins_and_every_headline_is_the_same(client: httpx.Client, played: Played) -> None:
    home = client.get("/").text
    assert "(2 of them with invented results)" in home
    for name, board in played.ids.items():
        final = client.get(f"/v1/leaderboards/{TASK}", params={"board": board}).json()["rows"]
        first = next(row for row in final if not row["agent"].startswith("baseline:"))
        assert first["agent"] == BEST[name]
        assert first["status"] == "succeeded"
        loss = next(value for column, value in first.items() if column.startswith("val_loss_"))
        start = home.index(f"?board={board}")
        standing = home[start : home.index("</dl>", start)]
        assert f'>{loss:.4f}</a>\n        <span class="by">{first["agent"]}</span>' in standing
        baseline = next((row for row in ROWS if row.board == name and row.agent.startswith("baseline:")), None)
        named = re.findall(r'<span class="by">([^<]+)</span>', standing)
        every = client.get(f"/v1/leaderboards/{TASK}", params={"board": board, "final": "false"}).json()["rows"]
        unedited = any(row["template_unmodified"] and row["status"] == "succeeded" for row in every)
        expected = "template" if baseline is None and unedited else baseline and baseline.agent.split(":")[1]
        assert named == [first["agent"], *([expected] if expected else [])]
        assert [mark for mark in (FAKE, PLAIN, LOST) if mark in standing] == [
            mark for mark in [MARKS.get(name)] if mark is not None
        ]
        page = client.get(f"/tasks/{TASK}", params={"board": board}).text
        assert shown_agents(page)[: len(final)] == [row["agent"] for row in final]
        choices = re.search(r'<fieldset class="choices">.*?</fieldset>', page, re.S)
        assert (choices is None) == (expected is None)


def test_an_address_without_a_board_shows_what_the_service_runs_now(
    client: httpx.Client, played: Played, service: tuple[str, Server]
) -> None:
    here = played.ids[service[0]]
    assert client.get(f"/v1/leaderboards/{TASK}").json()["board"]["id"] == here
    assert client.get(f"/v1/leaderboards/{TASK}?scale=smoke").json()["board"]["id"] == here
    assert f'<option value="{here}" selected>' in client.get(f"/tasks/{TASK}").text
    [listed] = client.get("/v1/leaderboards").json()["leaderboards"]
    found = {played.name(one["id"]): one for one in listed["boards"]}
    assert found.keys() == played.ids.keys()
    assert [name for name, one in found.items() if one["here"]] == [service[0]]
    assert {name: one["mark"] for name, one in found.items() if one["mark"]} == MARKS
    assert {name: one["rows"] for name, one in found.items()} == {name: len(played.agents(name)) for name in found}
    home = client.get("/").text
    assert home.index(f"?board={here}") < home.index("<details")
    for name, board in played.ids.items():
        assert (home.index(f"?board={board}") < home.index("<details")) == (name == service[0])
    # At a scale that this service has no results of, the latest from sandboxes are shown.
    big = client.get(f"/v1/leaderboards/{TASK}?scale=gpt-345m").json()["board"]["id"]
    assert big == played.ids["docker big"]


def test_results_curves_and_sessions_say_where_their_numbers_are_from(client: httpx.Client, played: Played) -> None:
    for name, board in played.ids.items():
        mark = MARKS.get(name, "")
        for agent in played.agents(name):
            session = played.sessions[agent]
            result = client.get(f"/v1/results/{session}-1").json()
            assert (result["board"], result["mark"]) == (board, mark)
            curve = client.get(f"/v1/results/{session}-1/curve").json()
            assert (curve["board"], curve["mark"]) == (board, mark)
            test = client.get(f"/v1/sessions/{session}/tests/1").json()
            assert test["mark"] == mark
            [brief] = client.get(f"/v1/sessions/{session}").json()["tests"]
            assert brief["mark"] == mark
            page = client.get(f"/sessions/{session}").text
            assert f"/tasks/{TASK}?board={board}#leaderboard" in page
            assert [one for one in (FAKE, PLAIN, LOST) if one in page] == [one for one in [mark] if one]
    docker = client.get(f"/v1/results/{played.sessions['docker-a']}-1").json()
    assert (docker["runner"], docker["image"], docker["runner_class"]) == ("docker", IMAGE, "sandboxed")
    local = client.get(f"/v1/results/{played.sessions['local-a']}-1").json()
    assert (local["runner"], local["image"]) == ("local", None)
    assert (local["heldout_data"], local["training_data"]) == (docker["heldout_data"], docker["training_data"])
    other = client.get(f"/v1/results/{played.sessions['docker-b']}-1").json()
    assert {other["heldout_data"], None} & {docker["heldout_data"]} == set()
    lost = client.get(f"/v1/results/{played.sessions['nobody-knows']}-1").json()
    assert (lost["runner"], lost["training_data"], lost["heldout_data"], lost["runner_class"]) == (
        *[None] * 3,
        "unknown",
    )


def test_the_same_code_is_a_duplicate_on_its_own_board_only(client: httpx.Client, played: Played) -> None:
    for board in played.ids.values():
        rows = client.get(f"/v1/leaderboards/{TASK}", params={"board": board, "final": "false"}).json()["rows"]
        keys = {row["run_key"] for row in rows}
        assert {row["duplicate_of"] for row in rows} - {None} <= keys


def test_a_chart_holds_curves_of_one_board(client: httpx.Client, played: Played) -> None:
    runs = [f"{played.sessions[agent]}-1" for agent in ("local-b", "fake-stored", "docker-b")]
    page = client.get(f"/tasks/{TASK}", params={"run": runs}).text
    assert f'<option value="{played.ids["local b"]}" selected>' in page  # that of the first
    assert re.findall(r"<caption>([^<]+)</caption>", page) == [runs[0]]
    assert "2 of the runs asked for stand on another board and are left out." in page


def test_an_unknown_board_and_one_of_another_scale_are_refused(client: httpx.Client, played: Played) -> None:
    for query in ({"board": "0" * 16}, {"board": played.ids["docker a"], "scale": "gpt-345m"}):
        for path in (f"/v1/leaderboards/{TASK}", f"/v1/leaderboards/{TASK}.csv"):
            refused = client.get(path, params=query)
            assert (refused.status_code, refused.json()["code"]) == (404, "unknown_board")
        page = client.get(f"/tasks/{TASK}", params=query)
        assert page.status_code == 404
        assert "no board" in html.unescape(page.text)


def test_a_test_goes_on_only_with_the_runner_and_the_data_it_was_started_with(serve: Serve, played: Played) -> None:
    server = serve("--runner", "fake")
    database = ("--db", server.database) if "--db" in server.arguments else ()
    agents = [server.open(scale="smoke") for _ in range(2)]

    def started(agent: Agent) -> None:
        agent.call("edit", {"start_line": 246, "end_line": 246, "content": "    # fake: hang"})
        agent.post("/test")
        until(lambda: agent.get("/tests/1?wait=1").json()["status"] == "running", 60)

    started(agents[0])
    seen: dict[str, Any] = agents[0].get("/tests/1").json()
    assert (seen["runner"], seen["mark"]) == ("fake", FAKE)
    server.kill()
    server.start()
    until(lambda: agents[0].get("/tests/1?wait=1").json()["status"] == "running", 60)
    server.kill()
    server.arguments = ("--runner", "local", "--data", str(played.data["a"]), *database)
    server.start()
    seen = agents[0].result(1)
    assert (seen["status"], seen["refunded"], seen["runner"]) == ("infra_failed", True, "fake")
    server.kill()
    server.arguments = ("--runner", "fake", *database)
    server.start()
    started(agents[1])
    server.kill()
    engine = open_database(server.database)
    with engine.begin() as conn:
        other = data_digests(find_tasks(())[TASK].task.scales["smoke"], played.data["b"])
        conn.execute(update(tests).where(tests.c.session_id == agents[1].id).values(data=other))
    engine.dispose()
    server.start()
    assert agents[1].result(1)["status"] == "infra_failed"
    with server.client() as client:
        assert client.get(f"/v1/leaderboards/{TASK}?final=false").json()["total"] == 0


def test_data_that_changed_under_a_test_is_not_named(tmp_path: Path) -> None:
    task, folders = find_tasks(())[TASK].task, {"a": tmp_path}
    prepare_smoke(tmp_path)
    engine = open_database(f"sqlite:///{tmp_path / 'x.db'}")
    row = Row(agent="a", board="", loss=2.0)
    before = stored(Store(engine), task, 1, row, folders)
    with Store(engine).begin() as conn:
        session, test = (Store(engine).session(conn, before.session_id), Store(engine).test(conn, before.session_id, 1))
    engine.dispose()
    assert session is not None
    assert test is not None
    assert result_of(session, test, {}, data_dir=tmp_path).board == before.board
    meta = tmp_path / "smoke" / "heldout" / "meta.json"
    meta.write_text(meta.read_text().replace('.jsonl": "', '.jsonl": "0', 1))
    changed = result_of(session, test, {}, data_dir=tmp_path)
    assert (changed.origin.data, changed.origin.heldout_data) == (None, None)
    assert before.origin.data is not None


def test_data_that_nobody_noted_anything_of_is_told_apart_by_its_files(tmp_path: Path) -> None:
    scale = find_tasks(())[TASK].task.scales["smoke"]
    (tmp_path / "a").mkdir()
    assert data_key(data_digests(scale, tmp_path / "a")) is None
    for name in ("a", "b", "c"):
        for folder in {*scale.data.values(), *scale.evaluation_data.values()}:
            (tmp_path / name / folder).mkdir(parents=True)
            with (tmp_path / name / folder / "tokens.bin").open("wb") as file:
                file.truncate(20 << 20)
                file.seek(-3, os.SEEK_END)
                file.write(b"y" if name == "b" else b"x")
    a, b, c = (data_key(data_digests(scale, tmp_path / name)) for name in ("a", "b", "c"))
    assert a is not None
    assert (a == c, a == b) == (True, False)
