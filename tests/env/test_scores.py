"""Scores over HTTP: from the file beside the task to the leaderboard's rows, and reasons where there are none."""

from __future__ import annotations

import csv
import io
import json
import shutil
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from env.lifecycle.unedited import data_here
from env.operators.measure.anchors import anchor
from env.operators.measure.spread import Measured
from env.service.scoring import scoring_of
from tasks.anchors import ProvenanceTable, ScaleAnchors, write_anchors
from tasks.load import find_tasks, load_task
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.support.service import Serve, Server

TASK_WITH_ANCHORS = "llm-pretrain-normalization"
"""Its unedited file is its best baseline, but for luck."""
TASK = """\
id = "scored"
title = "A task with anchors"
template = "custom.py"
filename = "pkg/custom.py"
editable = [[1, 1]]
[scales.smoke]
world_size = 1
[[scales.smoke.stages]]
label = "gpt-smoke"
script = "measure.sh"
role = "evaluate"
timeout_s = 60
[scales.gpt-345m]
"""
LOSS = 2.25
MEASURE = f'echo \'{{"metrics": {{"val_loss": {LOSS}}}}}\' > "$OUT_DIR/metrics.json"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "scored"
    folder.mkdir()
    (folder / "task.toml").write_text(TASK)
    (folder / "custom.py").write_text("LOSS = 1\n")
    (folder / "measure.sh").write_text(MEASURE)
    return folder


def write(folder: Path, data: str, question: str | None = None, **losses: tuple[float, ...]) -> None:
    """Anchors that were measured on the data of this key."""
    about = ProvenanceTable(date=date(2026, 11, 21), ringfence="0.1", runner="fake", hardware="none", torch="none")
    task = load_task(folder)
    made = ScaleAnchors(
        task_version=task.version,
        question=question or task.question("smoke"),
        data=[data],
        seeds=[1, 2],
        provenance=about,
        metrics=[anchor(Measured("val_loss", "gpt-smoke", losses))],
    )
    write_anchors(folder, "smoke", made)


def rows(server: Server, **query: Any) -> list[dict[str, Any]]:
    with server.client() as client:
        found: list[dict[str, Any]] = client.get("/v1/leaderboards/scored", params=query).json()["rows"]
    return found


def key_of(folder: Path, data_dir: Path) -> str:
    key = data_here(load_task(folder).scales["smoke"], data_dir)
    assert key is not None
    return key


def played(server: Server) -> Server:
    """A service with one submitted result."""
    agent = server.open(task="scored", scale="smoke")
    agent.post("/test?wait=50")
    agent.call("submit", {"n": 1})
    return server


def test_results_are_scored_once_the_task_has_anchors(serve: Serve, folder: Path, smoke_data: Path) -> None:
    server = played(serve("--runner", "local", "--tasks", str(folder)))
    [row] = rows(server)
    assert (row["val_loss_gpt-smoke"], row["score"], row["delta_noise"]) == (LOSS, None, None)
    write(folder, key_of(folder, smoke_data), template=(LOSS + 2, LOSS + 2), best=(LOSS - 0.1, LOSS + 0.1))
    server.kill()
    server.start()
    [row] = rows(server, sort="-score")
    assert (row["score"], row["delta_noise"]) == (pytest.approx(0.5), pytest.approx(0.0, abs=1e-6))
    with server.client() as client:
        result = client.get(f"/v1/results/{row['run_key']}").json()
        assert result["score"] == row["score"]
        [exported] = csv.DictReader(io.StringIO(client.get("/v1/leaderboards/scored.csv").text, newline=""))
        assert float(exported["score"]) == row["score"]
        anchors = client.get("/v1/tasks/scored").json()["anchors"]
        page = client.get("/tasks/scored?scale=smoke").text
    assert "0.5000" in page
    assert "Baselines were measured on 2026-11-21 with seeds 1, 2." in page
    assert (anchors["smoke"]["scored"], anchors["smoke"]["reason"]) == (True, None)
    assert anchors["smoke"]["metrics"][0]["ref"] == pytest.approx(LOSS)
    assert (anchors["smoke"]["relative"], anchors["smoke"]["unedited"]) == (False, None)
    assert anchors["gpt-345m"] == {"scored": False, "reason": "nobody has measured the baselines at this scale"}


def test_anchors_of_another_question_score_nothing_and_the_task_says_so(
    serve: Serve, folder: Path, smoke_data: Path
) -> None:
    write(folder, key_of(folder, smoke_data), "0" * 64, template=(3.0,), best=(2.0,))
    server = played(serve("--runner", "local", "--tasks", str(folder)))
    assert rows(server)[0]["score"] is None
    with server.client() as client:
        anchors = client.get("/v1/tasks/scored").json()["anchors"]["smoke"]
        page = client.get("/tasks/scored?scale=smoke").text
    assert "No scores: measured for version " in page
    assert anchors["scored"] is False
    assert anchors["reason"].endswith(" of the task, which asks something else at this scale now")


@pytest.mark.parametrize(
    ("runner", "reason"),
    [
        ("local", "the baselines were measured on other data"),
        ("fake", "these results are of no data that anybody knows"),
    ],
)
def test_anchors_of_other_data_score_nothing_and_invented_results_are_of_none(
    serve: Serve, folder: Path, runner: str, reason: str
) -> None:
    write(folder, "d" * 64, template=(3.0,), best=(2.0,))
    server = played(serve("--runner", runner, "--tasks", str(folder)))
    assert rows(server)[0]["score"] is None
    with server.client() as client:
        anchors = client.get("/v1/tasks/scored").json()["anchors"]["smoke"]
    assert (anchors["scored"], anchors["reason"]) == (False, reason)


def test_what_changes_no_figure_leaves_the_anchors_valid(folder: Path, smoke_data: Path) -> None:
    write(folder, key_of(folder, smoke_data), template=(3.0,), best=(2.0,))
    (folder / "task.toml").write_text(TASK.replace("A task", "The task") + "[budget]\ntests = 9\n")
    found = find_tasks([folder])["scored"]
    assert found.task.version != found.anchors["smoke"].task_version
    formula = scoring_of(found.task, "smoke", found.anchors["smoke"], smoke_data).formula
    assert formula is not None
    assert formula.task_version == found.task.version
    (folder / "measure.sh").write_text(MEASURE + "true\n")
    changed = find_tasks([folder])["scored"]
    assert scoring_of(changed.task, "smoke", changed.anchors["smoke"], smoke_data).formula is None


def test_baselines_that_do_not_differ_score_nothing(serve: Serve, folder: Path, smoke_data: Path) -> None:
    write(folder, key_of(folder, smoke_data), template=(2.0,), best=(2.0,))
    with serve("--runner", "local", "--tasks", str(folder)).client() as client:
        anchors = client.get("/v1/tasks/scored").json()["anchors"]["smoke"]
    assert anchors["scored"] is False
    assert anchors["reason"] == "no metric tells the baselines apart"


@pytest.mark.slow
@pytest.mark.timeout(900)  # three trainings and two evaluations, on a busy machine
def test_on_fresh_data_the_unedited_file_is_measured_and_scores_its_anchor(
    serve: Serve, tmp_path: Path, smoke_data: Path
) -> None:
    """One seed is left to be measured, so that it takes half a minute."""
    data = tmp_path / "data"
    shutil.copytree(smoke_data, data)
    for file in (data / "reference").glob("*/reference.json"):
        if json.loads(file.read_text())["seed"] == 44:
            shutil.rmtree(file.parent)
    server = serve("--runner", "local", "--slots", "1", "--data", str(data))
    agent = server.open(scale="smoke")
    assert agent.call("test").status_code == 202
    assert agent.result(1, 400)["status"] == "succeeded"
    agent.call("submit", {"n": 1})

    def anchors() -> dict[str, Any]:
        with server.client() as client:
            return client.get(f"/v1/tasks/{TASK_WITH_ANCHORS}").json()["anchors"]["smoke"]  # type: ignore[no-any-return]

    with server.client() as client:
        if anchors()["waits"]:
            [row] = client.get(f"/v1/leaderboards/{TASK_WITH_ANCHORS}").json()["rows"]
            assert row["score"] is None
            assert "2 are done" in anchors()["reason"]
        until(lambda: anchors()["scored"], 400, 0.5)
        [row] = client.get(f"/v1/leaderboards/{TASK_WITH_ANCHORS}").json()["rows"]
    found = anchors()
    loss = found["metrics"][0]
    assert found["unedited"]["seeds"] == [42, 43, 44]
    # The anchors' seeds and this one differ by luck alone.
    assert row["val_loss_gpt-smoke"] == pytest.approx(found["unedited"]["metrics"]["val_loss"], abs=4 * loss["noise"])
    assert 0.25 < row["score"] < 0.75


def test_the_schema_describes_scores(shared: Server) -> None:
    with shared.client() as client:
        schemas = client.get("/openapi.json").json()["components"]["schemas"]
    for name in ("Row", "ResultView"):
        assert "0.5 the best one" in schemas[name]["properties"]["score"]["description"]
        assert "standard deviations" in schemas[name]["properties"]["delta_noise"]["description"]
    assert schemas["Row"]["properties"]["auto_submitted"]["type"] == "boolean"
