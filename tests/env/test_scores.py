"""Scores over HTTP: from the file beside the task to the leaderboard's rows, and reasons where there are none."""

from __future__ import annotations

import csv
import io
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from env.operators.measure.anchors import Measured, anchor
from tasks.anchors import ProvenanceTable, ScaleAnchors, write_anchors
from tasks.load import load_task

if TYPE_CHECKING:
    from tests.support.service import Serve, Server

TASK = """\
id = "scored"
title = "A task with anchors"
template = "custom_pretrain"
filename = "nanoGPT/custom_pretrain.py"
editable = [[22, 31]]
[scales.smoke]
[scales.gpt-345m]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "scored"
    folder.mkdir()
    (folder / "task.toml").write_text(TASK)
    return folder


def write(folder: Path, version: str, **losses: tuple[float, ...]) -> None:
    about = ProvenanceTable(date=date(2026, 11, 21), ringfence="0.1", runner="fake", hardware="none", torch="none")
    metrics = [anchor(Measured("val_loss", "gpt-smoke", losses))]
    write_anchors(folder, "smoke", ScaleAnchors(task_version=version, seeds=[1, 2], provenance=about, metrics=metrics))


def rows(server: Server, **query: Any) -> list[dict[str, Any]]:
    with server.client() as client:
        found: list[dict[str, Any]] = client.get("/v1/leaderboards/scored", params=query).json()["rows"]
    return found


def test_results_are_scored_once_the_task_has_anchors(serve: Serve, folder: Path) -> None:
    server = serve("--runner", "fake", "--tasks", str(folder))
    agent = server.open(task="scored", scale="smoke")
    agent.post("/test?wait=30")
    agent.call("submit", {"n": 1})
    [row] = rows(server)
    assert (row["score"], row["delta_noise"]) == (None, None)
    loss = row["val_loss_gpt-smoke"]
    write(folder, load_task(folder).version, template=(loss + 2, loss + 2), best=(loss - 0.1, loss + 0.1))
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
    assert anchors["smoke"]["metrics"][0]["ref"] == pytest.approx(loss)
    assert anchors["gpt-345m"] == {"scored": False, "reason": "nobody has measured the baselines at this scale"}


def test_anchors_of_another_version_score_nothing_and_the_task_says_so(serve: Serve, folder: Path) -> None:
    write(folder, "0" * 64, template=(3.0,), best=(2.0,))
    server = serve("--runner", "fake", "--tasks", str(folder))
    agent = server.open(task="scored", scale="smoke")
    agent.post("/test?wait=30")
    agent.call("submit", {"n": 1})
    assert rows(server)[0]["score"] is None
    with server.client() as client:
        anchors = client.get("/v1/tasks/scored").json()["anchors"]["smoke"]
        page = client.get("/tasks/scored?scale=smoke").text
    assert "No scores: measured for version 000000000000" in page
    assert anchors["scored"] is False
    assert anchors["reason"].startswith("measured for version 000000000000 of the task, which is ")


def test_baselines_that_do_not_differ_score_nothing(serve: Serve, folder: Path) -> None:
    write(folder, load_task(folder).version, template=(2.0,), best=(2.0,))
    with serve("--runner", "fake", "--tasks", str(folder)).client() as client:
        anchors = client.get("/v1/tasks/scored").json()["anchors"]["smoke"]
    assert anchors["scored"] is False
    assert anchors["reason"] == "no metric tells the baselines apart"


def test_the_schema_describes_scores(shared: Server) -> None:
    with shared.client() as client:
        schemas = client.get("/openapi.json").json()["components"]["schemas"]
    for name in ("Row", "ResultView"):
        assert "0.5 the best one" in schemas[name]["properties"]["score"]["description"]
        assert "standard deviations" in schemas[name]["properties"]["delta_noise"]["description"]
    assert schemas["Row"]["properties"]["auto_submitted"]["type"] == "boolean"
