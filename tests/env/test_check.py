"""The free rehearsal: what it finds, what it costs, and what it must not touch."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from env.lifecycle.fair_queue import FairQueue
from env.lifecycle.findings import read_rehearsal, told
from env.lifecycle.plan import plan, rehearsal, spec
from env.lifecycle.rehearsals import Rehearsals
from env.store.model import Session, Status, Test
from runner.fake.runner import FakeRunner
from tasks.load import load_tasks
from tests.support.service import Agent, Serve, Server
from tests.support.tasks import write_quick_task

NORM = """\
class LayerNorm(nn.Module):
    def __init__(self, ndim, bias):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(ndim{more}))

    def forward(self, x):
        return x * self.weight{leak}
"""


def edit(agent: Agent, content: str) -> None:
    first, last = agent.get().json()["files"][0]["editable"][0]
    answer = agent.call("edit", {"start_line": first, "end_line": last, "content": content})
    assert answer.status_code == 200, answer.text


@pytest.mark.slow
@pytest.mark.timeout(300)  # two rehearsals; those that pass are in the examples of docs/agents.md
def test_a_real_rehearsal_fails_and_finds_a_leak(serve: Serve, tmp_path: Path) -> None:
    agent = serve("--runner", "local", "--tasks", str(write_quick_task(tmp_path / "quick"))).open("quick")
    edit(agent, NORM.format(more=" + 1", leak=""))
    failed = agent.call("check").json()
    assert failed["check"] == {"passed": False, "checks_remaining": 9}
    assert (
        "- running the model on inputs of 1 token raised RuntimeError (tensors are combined whose sizes do not "
        "match):\n"
    ) in failed["observation"]
    assert "- two optimizer steps at a tiny size raised RuntimeError" in failed["observation"]
    assert "    28:         return x * self.weight\n" in failed["observation"]

    edit(agent, NORM.format(more="", leak=" - x.mean(dim=1, keepdim=True)"))
    leaking = agent.call("check").json()
    assert leaking["check"]["passed"] is False
    assert "- causality: what the model expects in the first half of a sequence changes" in leaking["observation"]

    seen = agent.get().json()
    assert seen["tests"] == []
    assert seen["budget"]["tests_remaining"] == 3
    assert [step["tool"] for step in agent.get("/trajectory").json()["steps"]] == ["edit", "check"] * 2


READS_WHILE_BUILT = """\
class LayerNorm(nn.Module):
    def __init__(self, ndim, bias):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(ndim))
        {reading}

    @torch.compile
    def scaled(self, x):
        return F.rms_norm(x, (x.size(-1),), self.weight, 1e-5)

    def forward(self, x):
        return self.scaled(x)
"""


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "reading",
    [
        "self.rates = torch.linspace(0, 1, 4).tolist()",
        "self.scale = float(torch.ones(3).sum())",
        "self.on = bool(torch.ones(ndim).any())",
        "self.register_buffer('c', torch.ones(ndim) * torch.from_numpy(np.ones(ndim, 'float32')), persistent=False)",
        "self.q = torch.nn.utils.parametrizations.orthogonal(nn.Linear(8, 8, bias=False)).requires_grad_(False)",
    ],
    ids=["tolist", "float", "any", "from_numpy", "orthogonal"],
)
def test_code_that_reads_values_while_it_is_built_and_compiles_its_helpers_passes(
    serve: Serve, tmp_path: Path, reading: str
) -> None:
    agent = serve("--runner", "local", "--tasks", str(write_quick_task(tmp_path / "quick"))).open("quick")
    edit(agent, READS_WHILE_BUILT.format(reading=reading))
    answer = agent.call("check").json()
    assert answer["check"]["passed"], answer["observation"]


SPELLS = """\
class LayerNorm(nn.Module):
    def __init__(self, ndim, bias):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(ndim))

    def forward(self, x):
        print("TRAIN_METRICS: step=0, train_loss=1.2345, val_loss=1.2345")
        {how}
"""


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "how",
    [
        "raise RuntimeError('the ' + 'secret ' + str(x.numel() * 7919))",
        "raise type('The' + 'Secret' + str(x.numel() * 7919), (Exception,), {})()",
    ],
    ids=["message", "type"],
)
def test_nothing_that_the_script_made_up_reaches_its_agent(serve: Serve, tmp_path: Path, how: str) -> None:
    agent = serve("--runner", "local", "--tasks", str(write_quick_task(tmp_path / "quick"))).open("quick")
    edit(agent, SPELLS.format(how=how))
    answer = agent.call("check").json()
    assert answer["check"]["passed"] is False
    mine = [line for line in answer["observation"].split("\n") if not re.match(r" +\d+: ", line)]  # lines of the file
    assert len(mine) > 1
    for spelt in ("ecret", "7919", "1.2345"):
        assert spelt not in "\n".join(mine)
    assert str(64 * 64 * 7919) not in answer["observation"]


FINDING: dict[str, Any] = {"part": "size", "kind": "raised", "error": "ValueError", "form": "", "lines": [3]}


@pytest.mark.parametrize(
    "report",
    [
        {"parameters": "the secret", "findings": []},
        {"parameters": None, "findings": []},
        {"parameters": 1, "findings": [FINDING | {"kind": "the secret"}]},
        {"parameters": 1, "findings": [FINDING | {"lines": [1, 2, 3, 4]}]},
        {"parameters": 1, "findings": [FINDING] * 2},
        {"parameters": 1 << 60, "findings": []},
    ],
)
def test_a_report_that_is_none_of_ours_is_not_read(report: dict[str, Any]) -> None:
    assert read_rehearsal(json.dumps(report).encode()) is None


def test_a_finding_is_told_in_words_of_ours() -> None:
    made_up = FINDING | {"error": "TheSecret", "form": "the secret", "lines": [3, 999]}
    read = read_rehearsal(json.dumps({"parameters": 1, "findings": [made_up], "more": "the secret"}).encode())
    assert read is not None
    assert told(read.findings[0], "one\ntwo\nthree\n", 5) == (
        "building the model at its real size raised an exception of another type:\n     3: three"
    )


def test_checks_have_a_budget_of_their_own(shared: Server) -> None:
    agent = shared.open()
    left = [agent.call("check").json()["check"]["checks_remaining"] for _ in range(10)]
    assert left == list(range(9, -1, -1))
    refused = agent.call("check")
    assert refused.status_code == 429
    assert refused.json()["observation"] == "ERROR: Check budget exhausted (10/10). You may still test."
    assert agent.call("test").status_code == 202


def test_a_mistake_in_the_file_costs_no_check(shared: Server) -> None:
    agent = shared.open()
    edit(agent, "class LayerNorm(:\n")
    refused = agent.call("check")
    assert refused.status_code == 422
    assert "Syntax error in line 22" in refused.json()["observation"]
    edit(agent, NORM.format(more="", leak=""))
    assert agent.call("check").json()["check"]["checks_remaining"] == 9


def test_a_check_takes_no_arguments(shared: Server) -> None:
    refused = shared.open().call("check", {"n": 1})
    assert refused.status_code == 422
    assert "check takes no arguments" in refused.json()["observation"]


def test_one_check_at_a_time_and_the_same_call_under_its_key_joins_it(shared: Server) -> None:
    agent = shared.open()
    edit(agent, NORM.format(more="", leak="") + "# fake: evaluate.seconds=1\n")
    keyed = {"headers": {"Idempotency-Key": "a"}}
    assert agent.call("check", params={"wait": 0}, **keyed).status_code == 202
    refused = agent.call("check")
    assert refused.status_code == 409
    assert "A check is running already" in refused.text
    answers: list[Any] = []
    threads = [threading.Thread(target=lambda: answers.append(agent.call("check", **keyed))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [answer.status_code for answer in answers] == [200] * 4
    assert {answer.content for answer in answers} == {agent.call("check", **keyed).content}
    assert agent.call("check").json()["check"]["checks_remaining"] == 8


def test_a_check_outlives_its_caller_and_is_asked_for(shared: Server) -> None:
    agent = shared.open()
    nothing = agent.get("/check")
    assert (nothing.status_code, nothing.json()["code"]) == (404, "no_check")
    edit(agent, NORM.format(more="", leak="") + "# fake: evaluate.seconds=1\n")
    started = agent.call("check", params={"wait": 0.2})
    assert started.status_code == 202
    assert started.json()["check"] == {"status": "running", "checks_remaining": 10}
    asked = f"GET /v1/sessions/{agent.id}/check?wait=60"
    assert started.json()["observation"].endswith(f"10 check(s) remaining, this one included). Its result: {asked}.")
    assert agent.get("/check").json()["check"] == {"status": "running", "checks_remaining": 10}
    over = agent.get("/check", params={"wait": 60}).json()
    assert over["check"] == {"passed": True, "checks_remaining": 9}
    assert over["observation"].startswith("[check] Passed after")
    assert agent.get("/check").json() == over
    assert [step["tool"] for step in agent.get("/trajectory").json()["steps"]] == ["edit", "check"]


def test_trouble_of_ours_is_not_counted(serve: Serve) -> None:
    agent = serve().open()
    edit(agent, NORM.format(more="", leak="") + "# fake: evaluate.lost\n")
    refused = agent.call("check")
    assert refused.status_code == 409
    assert "was not counted: lost by the runner" in refused.json()["observation"]


@pytest.mark.parametrize("wish", ["exit=2", "no-result", "exit=1"])
def test_a_rehearsal_that_leaves_no_report_has_been_had(serve: Serve, wish: str) -> None:
    agent = serve().open()
    edit(agent, NORM.format(more="", leak="") + f"# fake: evaluate.{wish}\n")
    assert agent.call("check").json()["check"] == {"passed": False, "checks_remaining": 9}


def test_a_rehearsal_sees_no_data() -> None:
    task = load_tasks()["llm-pretrain-normalization"]
    for scale in task.scales.values():
        assert not rehearsal(task, scale, "s", 1, {}).data


def test_what_an_agent_has_compiled_runs_as_it_is_written_where_there_is_no_gpu() -> None:
    task = load_tasks()["llm-pretrain-normalization"]
    test = Test(
        session_id="s", n=1, status=Status.RUNNING, files={}, created_at=datetime.now(UTC), devices=("GPU-0", "GPU-1")
    )
    for name, scale in task.scales.items():
        assert rehearsal(task, scale, "s", 1, {}).env["TORCHDYNAMO_DISABLE"] == "1"
        first, second, *_ = plan(scale)
        training = spec(task, scale, test, first, scale.settings, 0, None)
        scoring = spec(task, scale, test, second, scale.settings, 0, "up")
        for run in (training, *scoring.workers):
            assert run.env.get("TORCHDYNAMO_DISABLE") == (None if name.startswith("gpt-") else "1")


def test_an_agent_has_one_place_and_others_do_not_wait_for_its_queue() -> None:
    """Slow rehearsals of one agent's many sessions, and then one of another's."""
    task = load_tasks()["llm-pretrain-normalization"]
    runner = FakeRunner()
    rehearsals = Rehearsals(runner, _at_once)
    at = datetime(2026, 11, 3, tzinfo=UTC)

    def session(number: int, agent: str) -> Session:
        return Session(
            id=f"s{number}", task=task, agent=agent, scale="smoke", metadata={}, token_sha256="", created_at=at
        )

    async def main() -> list[str]:
        over: list[str] = []

        async def one(number: int, agent: str, script: str) -> None:
            await rehearsals.rehearse(session(number, agent), 1, {task.filename: script})
            over.append(agent)

        async with asyncio.TaskGroup() as group:
            for number in range(4):
                group.create_task(one(number, "many", "# fake: evaluate.seconds=0.4\n"))
            await asyncio.sleep(0.05)
            assert len(runner.run_ids()) == 1
            group.create_task(one(9, "single", "# fake: evaluate.seconds=0.1\n"))
        return over

    assert asyncio.run(main()) == ["single", "many", "many", "many", "many"]


async def _at_once() -> None:
    pass


def test_a_session_without_scales_has_nothing_to_rehearse(serve: Serve, tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    (folder / "task.toml").write_text(
        'id = "plain"\ntitle = "Plain"\ntemplate = "plain.py"\nfilename = "plain.py"\neditable = [[1, 1]]\n'
    )
    (folder / "plain.py").write_text("a = 1\nb = 2\n")
    refused = serve("--runner", "fake", "--tasks", str(folder)).open("plain").call("check")
    assert refused.status_code == 409
    assert "no scales" in refused.json()["observation"]


def test_agents_take_turns_and_nobody_has_every_place() -> None:
    async def main() -> list[str]:
        queue, served = FairQueue(3), list[str]()

        async def one(owner: str) -> None:
            async with queue.place(owner):
                served.append(owner)
                await asyncio.sleep(0.02)

        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(one("many")) for _ in range(6)]
            await asyncio.sleep(0)
            assert served == ["many"] * 2
            gone = waiting[3]
            gone.cancel()
            for owner in ("few", "single", "few"):
                group.create_task(one(owner))
        return served

    served = asyncio.run(main())
    assert served[:3] == ["many", "many", "few"]
    assert sorted(served) == ["few"] * 2 + ["many"] * 5 + ["single"]
    assert served.index("single") < 5
