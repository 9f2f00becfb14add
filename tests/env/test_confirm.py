"""Confirmations, from the command to the rows and the sentence that follows from them; and those by policy."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import html
import io
import subprocess
from pathlib import Path
from typing import Any

import pytest

from env.service.call import Call
from env.service.opening import Wanted
from env.service.service import Service, build
from env.service.settings import ServiceSettings
from env.store.confirmations import confirmations
from env.store.store import Store
from env.store.unfinished import in_turn, unfinished
from ringfence.api.arguments import EditArguments, SubmitArguments
from ringfence.api.arguments import TestArguments as NoArguments
from ringfence.api.tools import Submitted
from runner.fake.runner import FakeRunner
from runner.pool import Host, Pool
from tasks.load import load_tasks
from tests.support.command import ringfence
from tests.support.processes import run_to_end
from tests.support.service import COMMAND, TASK, Agent, Serve, Server
from tests.support.waiting import until


def submitted(server: Server, comment: str | None = "x", **more: Any) -> Agent:
    """A session with one test, which it submitted."""
    agent = server.open(scale="smoke", **more)
    if comment is not None:
        agent.call("edit", {"start_line": 246, "end_line": 246, "content": f"    # {comment}"})
    assert agent.post("/test?wait=60").json()["test"]["status"] == "succeeded"
    assert agent.call("submit", {"n": 1}).status_code == 200
    return agent


def confirm(server: Server, session_id: str, *arguments: str) -> Any:
    return ringfence("confirm", session_id, "--state", str(server.state), "--db", server.database, *arguments)


def confirm_here(server: Server, session_id: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, as it keeps the database to its end."""
    where = ("--state", str(server.state), "--db", server.database)
    return run_to_end([*COMMAND, "confirm", session_id, *where, *arguments])


def rows(server: Server, **query: Any) -> list[dict[str, Any]]:
    with server.client() as client:
        found: list[dict[str, Any]] = client.get(
            f"/v1/leaderboards/{TASK}", params={"scale": "smoke", "final": False} | query
        ).json()["rows"]
    return found


def confirmed(server: Server, session_id: str) -> list[dict[str, Any]]:
    """The session's confirmations as everybody sees them, once all are over."""
    with server.client() as client:

        def seen() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = client.get(f"/v1/sessions/{session_id}").json()["confirmations"]
            return found

        until(lambda: all(one["status"] not in ("queued", "running") for one in seen()), pause_s=0.1)
        return seen()


def measured(serve: Serve, tmp_path: Path) -> Server:
    """A service on a database in which the unedited file and a baseline ran at four seeds."""
    chosen = ("--baseline", "template", "--baseline", "rmsnorm_post", "--seeds", "42,43,44,45")
    where = ("--runner", "fake", "--db", f"sqlite:///{tmp_path / 'measured.db'}")
    ran = run_to_end([*COMMAND, "baseline", "run", TASK, *chosen, *where, "--state", str(tmp_path / "measured")])
    assert ran.returncode == 0, ran.stderr
    return serve(*where)


def test_the_running_service_runs_a_submission_again_at_no_cost(serve: Serve, tmp_path: Path) -> None:
    server = measured(serve, tmp_path)
    agent = submitted(server)
    asked = confirm(server, agent.id, "--seeds", "43,44,45,46")
    assert asked.exit_code == 0, asked.stderr
    assert "seed 43: queued, in session " in asked.stdout
    seen = confirmed(server, agent.id)
    assert [(one["seed"], one["status"]) for one in seen] == [(seed, "succeeded") for seed in (43, 44, 45, 46)]

    key = f"{agent.id}-1"
    theirs = {row["seed"]: row for row in rows(server) if row["confirms"] == key}
    assert theirs.keys() == {43, 44, 45, 46}
    for row in theirs.values():
        assert (row["agent"], row["is_final"], row["duplicate_of"], row["test"]) == ("tester", False, None, 1)
        assert row["entry_n"] == 5
    assert len({row["val_loss_gpt-smoke"] for row in theirs.values()}) > 1
    assert [row["session_id"] for row in rows(server, final=True, agent="tester")] == [agent.id]

    told = agent.get().json()
    assert (told["budget"]["tests_remaining"], told["steps"], told["comparison"]["entry"]["n"]) == (2, 3, 5)
    with server.client() as client:
        again = client.get(f"/v1/sessions/{seen[0]['session_id']}").json()
        own = client.get(f"/v1/results/{key}").json()
        same = client.get(f"/v1/results/{seen[0]['session_id']}-1").json()
    assert (again["confirms"], again["state"], again["submission"]) == (key, "closed", None)
    assert again["files"] == told["files"]
    assert (same["confirms"], own["confirms"]) == (key, None)
    assert same["code"] == own["code"]
    assert same["record"]["settings"]["SEED"] == "43"


def test_one_headline_everywhere(serve: Serve, tmp_path: Path) -> None:
    server = measured(serve, tmp_path)
    agent = submitted(server)
    assert confirm(server, agent.id, "--seeds", "43,44,45").exit_code == 0
    confirmed(server, agent.id)
    with server.client() as client:
        board = client.get(f"/v1/leaderboards/{TASK}", params={"scale": "smoke"}).json()
        headline = board["comparison"]["headline"]
        pages = [html.unescape(client.get(path).text) for path in ("/", f"/tasks/{TASK}", f"/sessions/{agent.id}")]
        table = client.get(f"/v1/leaderboards/{TASK}.csv", params={"scale": "smoke"}).text
        result = client.get(f"/v1/results/{agent.id}-1").json()
    assert headline.startswith("Δ ")
    assert headline.endswith(", n 4 and 4).")
    for page in pages:
        assert headline in page
    assert result["comparison"] == agent.get().json()["comparison"] == board["comparison"]
    assert "Noise at this scale: σ 0.0" in pages[1]
    assert (board["noise"]["entries"], board["noise"]["df"]) == (2, 6)
    row = next(row for row in csv.DictReader(io.StringIO(table)) if row["session_id"] == agent.id)
    compared = board["comparison"]
    assert (row["verdict"], row["entry_n"], float(row["delta"])) == (compared["verdict"], "4", compared["delta"])
    assert float(row["delta_p"]) == compared["p"]
    where = ("--state", str(server.state), "--db", server.database)
    assert headline in ringfence("sessions", "show", agent.id, *where).stdout
    listed = next(line for line in ringfence("sessions", "list", *where).stdout.splitlines() if agent.id in line)
    assert listed.endswith(compared["verdict"])


def test_what_cannot_be_confirmed_is_refused_and_queues_nothing(serve: Serve) -> None:
    server = serve("--runner", "fake")
    agent, unsubmitted = submitted(server), server.open(scale="smoke")
    large = server.open(scale="gpt-345m")
    large.post("/test?wait=60")
    large.call("submit", {"n": 1})
    failed = server.open(scale="smoke")
    failed.call("edit", {"start_line": 246, "end_line": 246, "content": "    # fake: exit=1"})
    failed.post("/test?wait=60")
    failed.call("submit", {"n": 1})
    assert confirm(server, agent.id, "--seeds", "43").exit_code == 0
    (done,) = confirmed(server, agent.id)
    before = len(rows(server))
    for session_id, seeds, told in (
        ("nope", "1", "no session"),
        (unsubmitted.id, "1", "has not submitted a result"),
        (failed.id, "1", "test #1, which is failed"),
        (agent.id, "42", f"run already at seed 42 (result {agent.id}-1)"),
        (agent.id, "44,43", f"run already at seed 43 (result {done['session_id']}-1)"),
        (done["session_id"], "44", f"confirms {agent.id}-1: confirm that one's session"),
        (large.id, "43", "takes 2 GPUs, for at most"),
        (agent.id, "1,x", "no list of whole numbers"),
        (agent.id, "1,1", "more than once"),
    ):
        refused = confirm(server, session_id, "--seeds", seeds)
        assert refused.exit_code in (1, 2)
        assert told in refused.stderr, refused.stderr
    assert agent.post("/confirm", json={"seeds": [50]}).status_code == 403
    with server.client() as anybody:
        assert anybody.post(f"/v1/sessions/{agent.id}/confirm", json={"seeds": [50]}).status_code == 401
    assert len(rows(server)) == before
    assert len(confirmed(server, agent.id)) == 1
    assert confirm(server, large.id, "--seeds", "43", "--yes").exit_code == 0
    assert [one["status"] for one in confirmed(server, large.id)] == ["succeeded"]


def test_without_a_service_it_is_done_to_the_end(serve: Serve) -> None:
    server = serve("--runner", "fake")
    agent = submitted(server)
    server.kill()
    ran = confirm_here(server, agent.id, "--seeds", "50,51", "--runner", "fake")
    assert ran.returncode == 0, ran.stderr
    assert [line.partition(",")[0] for line in ran.stdout.splitlines()] == [
        "seed 50: succeeded",
        "seed 51: succeeded",
    ]
    other = confirm_here(server, agent.id, "--seeds", "52", "--runner", "local")
    assert other.returncode == 1
    assert "stands on a board of results by a fake runner" in other.stderr
    server.start()
    assert {row["seed"] for row in rows(server) if row["confirms"]} == {50, 51}


def test_by_policy_every_submission_at_a_cheap_scale_is_confirmed_once(serve: Serve) -> None:
    server = serve("--runner", "fake", "--confirm", "2")
    agent = submitted(server)
    said = agent.get("/trajectory").json()["steps"][-1]["observation"]
    assert "It is run again at seeds 43, 44 to confirm it, which costs you nothing." in said
    assert [one["seed"] for one in confirmed(server, agent.id)] == [43, 44]
    # The same code of somebody else has these seeds already, and no code is confirmed that did not succeed.
    assert confirmed(server, submitted(server, agent="other").id) == []
    large = server.open(scale="gpt-345m")
    large.post("/test?wait=60")
    assert large.call("submit", {"n": 1}).json()["submission"]["confirmed_at"] == []
    # Of a session that the service submits for, as well.
    left = server.open(scale="smoke")
    left.call("edit", {"start_line": 246, "end_line": 246, "content": "    # left"})
    left.post("/test?wait=60")
    where = ("--state", str(server.state), "--db", server.database)
    assert ringfence("sessions", "close", left.id, *where).exit_code == 0
    assert [one["seed"] for one in confirmed(server, left.id)] == [43, 44]
    assert len([row for row in rows(server) if row["confirms"]]) == 4


def test_no_confirmation_is_lost_or_doubled_when_the_service_is_killed(serve: Serve) -> None:
    server = serve("--runner", "fake", "--confirm", "3", "--slots", "1")
    agent = server.open(scale="smoke")
    agent.call("edit", {"start_line": 246, "end_line": 246, "content": "    # fake: seconds=1"})
    agent.post("/test?wait=60")
    agent.call("submit", {"n": 1})
    server.kill()
    for _ in range(3):
        server.start()
        server.kill()
    server.start()
    assert [(one["seed"], one["status"]) for one in confirmed(server, agent.id)] == [
        (seed, "succeeded") for seed in (43, 44, 45)
    ]
    theirs = [row for row in rows(server) if row["confirms"]]
    assert sorted(row["seed"] for row in theirs) == [43, 44, 45]
    # A repeated submission changes nothing either.
    assert agent.call("submit", {"n": 1}).status_code == 409
    assert len(confirmed(server, agent.id)) == 3


def play(service: Service, comment: str) -> tuple[str, str]:
    """A session whose file is edited, with a test that waits."""
    opened = service.opening.open_session(Wanted(bearer=None, task=TASK, agent="tester", scale="smoke"))
    edit = EditArguments.model_validate({"start_line": 246, "end_line": 246, "content": f"    # {comment}"})
    service.tools.edit(Call(bearer=opened.token, session_id=opened.session_id, arguments=edit))
    service.tools.test(Call(bearer=opened.token, session_id=opened.session_id, arguments=NoArguments()))
    return opened.session_id, opened.token


def test_confirmations_come_after_agents_own_tests_and_take_turns(tmp_path: Path) -> None:
    asyncio.run(queued_in_turn(tmp_path))


async def queued_in_turn(tmp_path: Path) -> None:
    settings = ServiceSettings(db=f"sqlite:///{tmp_path / 'db'}", state_dir=tmp_path, confirmations=2)
    slots = Pool.of_slots(1)
    service = build(settings, load_tasks(), FakeRunner(slots=1, step_s=0.001), Host(slots, slots, lambda _: {}))
    loop = asyncio.create_task(service.lifecycle.loop.run())
    sessions = [play(service, comment) for comment in "ab"]
    for session_id, _ in sessions:
        await service.lifecycle.wait(session_id, 1, 30)
    await service.lifecycle.settled()
    loop.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await loop
    for session_id, token in sessions:
        done = service.tools.submit(Call(bearer=token, session_id=session_id, arguments=SubmitArguments(n=1)))
        assert isinstance(done, Submitted)
        assert done.submission.confirmed_at == (43, 44)
    own, _ = play(service, "c")  # bought last
    store = Store(service.engine)
    with store.read() as conn:
        first, second = (confirmations(conn, f"{session_id}-1") for session_id, _ in sessions)
        order = [one.session_id for one in in_turn(conn, unfinished(conn))]
    turns = [one.session_id for one in (first[0], second[0], first[1], second[1])]
    assert order == [own, *turns]
    service.engine.dispose()


@pytest.mark.parametrize("tests", [1, 3])
def test_a_value_chosen_among_tests_is_made_up_for_until_it_is_confirmed(serve: Serve, tests: int) -> None:
    server = serve("--runner", "fake")
    agent = server.open(scale="smoke")
    for comment in range(tests):
        agent.call("edit", {"start_line": 246, "end_line": 246, "content": f"    # {comment}"})
        agent.post("/test?wait=60")
    agent.call("submit", {"n": 1})
    submitted(server, None)  # the unedited file: a baseline
    entry = agent.get().json()["comparison"]["entry"]
    assert (entry["n"], entry["chosen_from"], entry["set_aside"]) == (1, tests, 0)
    assert confirm(server, agent.id, "--seeds", "50,51").exit_code == 0
    confirmed(server, agent.id)
    entry = agent.get().json()["comparison"]["entry"]
    kept = [42] if tests == 1 else []
    assert (sorted(entry["seeds"]), entry["chosen_from"]) == ([*kept, 50, 51], 1)
    assert entry["set_aside"] == 1 - len(kept)
