"""What an agent is told beside its result: what there is to beat, where it stands, what is left, who waits."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.processes import run_to_end
from tests.support.service import COMMAND

if TYPE_CHECKING:
    from tests.support.service import Agent, Serve, Server

LOSS = "llm-pretrain-loss"
ON_GPUS = """\
id = "gpus"
title = "Two GPUs"
template = "custom_pretrain"
filename = "nanoGPT/custom_pretrain.py"
editable = [[22, 31], [88, 100], [245, 247]]
[budget]
{budget}
[scales.gpt-345m]
"""
EDIT = {"op": "insert", "after_line": 31}


def with_budget(serve: Serve, folder: Path, budget: str) -> tuple[Server, Agent]:
    folder.mkdir()
    (folder / "task.toml").write_text(ON_GPUS.format(budget=budget))
    (folder / "description.md").write_text("A lower validation loss, please.\n")
    server = serve("--runner", "fake", "--slots", "1", "--tasks", str(folder))
    return server, server.open("gpus")


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_what_there_is_to_beat_is_measured_here(serve: Serve) -> None:
    server: Server = serve("--runner", "fake")
    first = server.open(LOSS)
    assert "## What there is to beat" in first.opened["prompt"]
    assert "Nothing is known yet: no baseline has a result on this service" in first.opened["prompt"]
    told = first.post("/test?wait=30").json()["observation"]
    assert "The best baseline itself (template): " in told.split("\n\n")[-1]

    server.stop()
    command = [*COMMAND, "baseline", "run", LOSS, "--runner", "fake", "--seeds", "7,8", "--state", str(server.state)]
    played = run_to_end(command, patience_s=300)
    assert played.returncode == 0, played.stderr
    server.start()
    agent = server.open(LOSS)
    prompt = agent.opened["prompt"]
    known = dict(re.findall(r"^- (\w+): ([0-9.]+) \(mean of [23] seeds\)$", prompt, re.MULTILINE))
    assert {"template", "z_loss", "softcap_ce", "label_smoothing"} == known.keys()
    assert list(known.values()) == sorted(known.values())
    assert "Results are ranked by `val_loss_gpt-smoke`, lower is better." in prompt
    assert re.search(r"standard deviation of σ = 0\.\d{4}: less may be luck", prompt)
    assert "There are no scores at this scale." in prompt  # invented figures have none
    assert "A run has 4 GiB of memory for its 2 process(es), and no network." in prompt

    first_line = agent.opened["files"][0]["editable"][0][0]
    agent.call("edit", {"op": "insert", "after_line": first_line, "content": "# another code\n"})
    done = agent.post("/test?wait=30").json()
    standing = done["observation"].split("\n\n")[-1]
    best, value = min(known, key=lambda name: float(known[name])), done["test"]["metrics"]["val_loss_gpt-smoke"]
    said = re.fullmatch(
        rf"\[Score\] .*\. Δ ([−+]\d\.\d{{4}}) ± \d\.\d{{4}} to the best baseline \({best}\): (.*) "
        r"\(p .*, n 1 and [23]\)\.",
        standing,
    )
    assert said is not None, standing
    assert float(said[1].replace("−", "-")) == pytest.approx(value - float(known[best]), abs=2e-4)
    with server.client() as client:
        recorded = client.get(f"/v1/results/{agent.id}-1").json()["comparison"]
    assert (recorded["headline"], recorded["verdict"]) == (standing.partition(". ")[2], said[2])


def test_a_test_that_failed_has_no_standing(serve: Serve) -> None:
    agent = serve("--runner", "fake").open()
    agent.call("edit", {**EDIT, "content": "# fake: exit=1\n"})
    assert "[Score]" not in agent.post("/test?wait=30").json()["observation"]


def test_whoever_waits_hears_how_many_wait_before(serve: Serve) -> None:
    server: Server = serve("--runner", "fake", "--slots", "1")
    agents = [server.open() for _ in range(3)]
    agents[0].call("edit", {**EDIT, "content": "# fake: hang\n"})
    told = []
    for agent in agents:
        told.append(agent.call("test").json()["observation"])
        agents[0].get("/tests/1", params={"wait": 0.3})
    assert [text.partition("\n")[2] for text in told] == ["", "", "1 test(s) wait before it."]
    assert [agent.get("/tests/1").json()["ahead"] for agent in agents] == [None, 0, 1]
    agents[0].post("/tests/1/cancel")
    assert [agent.result(1)["status"] for agent in agents[1:]] == ["succeeded"] * 2


def test_gpu_hours_are_spent_by_what_tests_use(serve: Serve, tmp_path: Path) -> None:
    server, agent = with_budget(serve, tmp_path / "gpus", "gpu_hours = 0.002")
    assert "- 0.002 GPU hours: the time of a test's runs, times its GPUs." in agent.opened["prompt"]
    assert agent.opened["budget"] | {"gpu_hours": 0.002, "gpu_hours_used": 0.0} == agent.opened["budget"]
    agent.call("edit", {**EDIT, "content": "# fake: nan\n# fake: seconds=2\n"})
    diverged = agent.post("/test?wait=60").json()
    assert diverged["test"]["status"] == "diverged"
    assert re.search(r"\n\[Budget\] This test used 0\.00 GPU hours\.", diverged["observation"])
    used = agent.get().json()["budget"]["gpu_hours_used"]
    assert 2 * 0.5 / 3600 < used < 0.002
    agent.call("undo")
    agent.call("edit", {**EDIT, "content": "# fake: hang\n"})
    assert agent.call("test").status_code == 202
    agent.get("/tests/2", params={"wait": 3})
    assert agent.post("/tests/2/cancel").json()["status"] == "cancelled"
    budget = agent.get().json()["budget"]
    assert budget["gpu_hours_used"] >= 0.002
    assert budget["tests_remaining"] == 0
    refused = agent.call("test")
    assert (refused.status_code, refused.json()["code"]) == (429, "gpu_budget_exhausted")
    assert refused.json()["observation"].startswith("ERROR: GPU budget exhausted (0.00 of 0.002 GPU hours used).")
    assert agent.call("submit", {"n": 1}).status_code == 200
    with server.client() as client:
        page = client.get(f"/sessions/{agent.id}").text
    assert "<dt>GPU hours</dt><dd>0.00 of 0.002</dd>" in page


def test_a_test_that_the_infrastructure_lost_uses_nothing(serve: Serve, tmp_path: Path) -> None:
    _, agent = with_budget(serve, tmp_path / "gpus", "tests = 2\ngpu_hours = 1.5")
    agent.call("edit", {**EDIT, "content": "# fake: lost\n# fake: seconds=1\n"})
    assert agent.post("/test?wait=60").json()["test"]["status"] == "infra_failed"
    budget = agent.get().json()["budget"]
    assert (budget["gpu_hours_used"], budget["tests"], budget["tests_remaining"]) == (0.0, 2, 2)


@pytest.mark.parametrize("wanted", ["gpt-345m", None])
def test_a_scale_that_this_host_cannot_run_opens_no_session(serve: Serve, wanted: str | None, tmp_path: Path) -> None:
    options = ("--scale", "gpt-345m") if wanted is None else ()
    server: Server = serve("--runner", "local", "--gpus", "none", "--data", str(tmp_path / "data"), *options)
    with server.client() as client:
        body = {"task": LOSS, "agent": "tester"} | ({} if wanted is None else {"scale": wanted})
        refused = client.post("/v1/sessions", json=body)
    assert (refused.status_code, refused.json()["code"]) == (409, "no_devices")
    assert refused.json()["observation"] == (
        "ERROR: Scale gpt-345m needs 2 GPUs, which this service does not have. Open a session with another scale: "
        "smoke."
    )
