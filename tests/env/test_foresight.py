"""What would fail any test is refused before one is spent."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.service import Agent, Serve
from tests.support.tasks import write_quick_task
from tests.support.waiting import Deadline

NORM = """\
class LayerNorm(nn.Module):
    def __init__(self, ndim, bias):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(ndim))
        {building}

    def forward(self, x):
        {running}
        return F.rms_norm(x, (x.size(-1),), self.weight, 1e-5)
"""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture
def agent(serve: Serve, tmp_path: Path) -> Agent:
    return serve("--runner", "local", "--tasks", str(write_quick_task(tmp_path / "quick"))).open("quick")


def edit(agent: Agent, building: str = "", running: str = "") -> None:
    first, last = agent.get().json()["files"][0]["editable"][0]
    content = NORM.format(building=building, running=running)
    answer = agent.call("edit", {"start_line": first, "end_line": last, "content": content})
    assert answer.status_code == 200, answer.text


def ask(agent: Agent) -> tuple[int, str, str | None]:
    """Status, observation and code of a call, which is repeated as long as the service asks for that."""
    deadline = Deadline(200)
    while (answer := agent.call("test")).status_code == 429:
        deadline.check("for the look ahead")
    return answer.status_code, answer.json()["observation"], answer.json().get("code")


@pytest.mark.parametrize(
    ("building", "running", "code", "says"),
    [
        ("self.more = nn.Parameter(torch.ones(ndim, 1000))", "", "too_many_parameters", "at most 125,059 are allowed."),
        ("raise ValueError(ndim)", "", "cannot_be_built", "building the model at its real size raised ValueError:"),
        ("", "x.view(x.size(0), -1, 16, x.size(-1))", "cannot_take_lengths", "on inputs of 1 token raised Runtime"),
        ("", "assert x.size(1) < 63", "cannot_take_lengths", "on inputs of 63 tokens raised AssertionError:"),
    ],
    ids=["too-large", "unbuildable", "one-token", "63-tokens"],
)
def test_what_would_fail_any_test_costs_none(agent: Agent, building: str, running: str, code: str, says: str) -> None:
    edit(agent, building, running)
    status, observation, refused = ask(agent)
    assert (status, refused) == (422, code), observation
    assert observation.startswith("ERROR: This cannot be tested: ")
    assert says in observation
    assert observation.endswith("No test was spent.")
    seen = agent.get().json()
    assert (seen["tests"], seen["budget"]["tests_remaining"]) == ([], 3)
    assert ask(agent) == (status, observation, refused)  # at once: it is known of the text


def test_a_test_goes_on_that_may_fail_for_other_reasons(agent: Agent) -> None:
    """Training is looked at by `check` alone; code for GPUs cannot be told from here."""
    edit(agent, running="assert not self.training or x.size(0) < 2")
    status, observation, _ = ask(agent)
    assert status == 202, observation
    assert observation.startswith("[Test #1] queued (2 tests remaining)")
    agent.post("/tests/1/cancel")
    agent.result(1)
    edit(agent, building="self.far = torch.ones(3, device='cuda')")
    assert ask(agent)[0] == 202
    told = agent.call("check").json()["observation"]
    assert "- building the model at its real size needs a GPU, or what runs on GPUs only" in told


def test_what_a_check_has_found_is_not_looked_at_again(agent: Agent) -> None:
    edit(agent, building="raise ValueError(ndim)")
    assert agent.call("check").json()["check"]["passed"] is False
    status, observation, _ = ask(agent)
    assert status == 422
    assert "real size raised ValueError" in observation
