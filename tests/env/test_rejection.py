"""What becomes of a result that the evaluator does not accept, and of what a training says of itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.engine.default import DefaultDialect

from env.lifecycle.rejection import rejection
from env.store.evaluation import Evaluation, StoredAudit
from env.store.model import Run, Status
from leaderboard.column_types import CompactJson
from tests.support.service import TASK
from tests.support.tasks import TRAIN

if TYPE_CHECKING:
    from tests.support.service import Agent, Serve, Server

SHORT = """\
id = "short"
title = "The smoke scale, shorter"
template = "custom_pretrain"
filename = "nanoGPT/custom_pretrain.py"
editable = [[22, 31]]
[scales.smoke]
world_size = 1
[[scales.smoke.stages]]
label = "gpt-smoke"
script = "train.sh"
role = "train"
timeout_s = 120
[scales.smoke.settings]
max_iters = 20
eval_iters = 2
eval_tokens = 8192
audit_samples = 256
certificate_tokens = 2048
"""
NORM = """\
class LayerNorm(nn.Module):
    def __init__(self, ndim, bias):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(ndim))

    def forward(self, x):
        {before}
        return x * self.weight{leak}
"""
PAST_THE_LINT = 'vars(os)["env" + "iron"]["MAX_ITERS"] = "40"\n'


def outcome(agent: Agent, comment: str) -> dict[str, Any]:
    edited = agent.call("edit", {"start_line": 246, "end_line": 246, "content": f"    # {comment}"})
    assert edited.status_code == 200, edited.text
    assert agent.call("test").status_code == 202
    return agent.result(1)


def test_a_rejected_result_is_told_spent_and_without_numbers(shared: Server) -> None:
    agent = shared.open()
    result = outcome(agent, "fake: evaluate.reject")
    assert (result["status"], result["refunded"], result["metrics"]) == ("rejected", False, {})
    assert [(stage["label"], stage["status"]) for stage in result["stages"]] == [("gpt-smoke", "rejected")]
    told = result["observation"]
    assert "\n[REJECTED commitment: off by 0.75 nats, the limit is 0.001, as asked for]\n" in told
    assert "Final metrics" not in told
    assert agent.get().json()["budget"]["tests_remaining"] == 2


def test_a_rejected_result_can_be_submitted_and_ranks_nowhere(serve: Serve) -> None:
    server = serve()
    rejected, honest = server.open(agent="rejected"), server.open(agent="honest")
    outcome(rejected, "fake: evaluate.reject")
    outcome(honest, "plain")
    for agent in (rejected, honest):
        assert agent.call("submit", {"n": 1}).status_code == 200
    with server.client() as client:
        rows = client.get(f"/v1/leaderboards/{TASK}").json()["rows"]
    assert [(row["agent"], row["status"], row["val_loss_gpt-smoke"] is None) for row in rows] == [
        ("honest", "succeeded", False),
        ("rejected", "rejected", True),
    ]


def test_a_training_that_boasts_is_contradicted(shared: Server) -> None:
    told = outcome(shared.open(), "fake: boast=1.5")["observation"]
    assert "[NOTE] The training's last reported val_loss=" in told
    assert "is 1.5000 below what the evaluator found on held-out data" in told
    assert "[NOTE] The training" not in outcome(shared.open(), "nothing to say")["observation"]


@pytest.mark.slow
@pytest.mark.timeout(300)  # four tests, on two slots
def test_the_real_evaluator_tells_busy_leaking_and_broken_models_apart(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "short").mkdir()
    (tmp_path / "short" / "task.toml").write_text(SHORT)
    (tmp_path / "short" / "train.sh").write_text(TRAIN)
    server = serve("--runner", "local", "--slots", "2", "--tasks", str(tmp_path / "short"))
    edits = {
        "busy": PAST_THE_LINT + NORM.format(before="pass", leak=""),
        "leaking": NORM.format(before="pass", leak=" - x.mean(dim=1, keepdim=True)"),
        "failing": NORM.format(before="assert os.getenv('MEET_DIR') is None, 'only in training'", leak=""),
        "dying": NORM.format(
            before="os.write(2, b'farewell') and os._exit(3) if os.getenv('MEET_DIR') else 0", leak=""
        ),
    }
    agents = {name: server.open("short", agent=name) for name in edits}
    for name, agent in agents.items():
        edited = agent.call("edit", {"start_line": 22, "end_line": 31, "content": edits[name]})
        assert edited.status_code == 200, edited.text
        assert agent.call("test").status_code == 202
    results = {name: agent.result(1) for name, agent in agents.items()}
    told = {name: result["observation"] for name, result in results.items()}
    assert {name: result["status"] for name, result in results.items()} == {
        "busy": "succeeded",
        "leaking": "rejected",
        "failing": "failed",
        "dying": "failed",
    }, told
    assert (
        "[NOTE] The training's last report is of step 40, where every training of this scale ends at step 20."
        in (told["busy"])
    )
    assert "\n[REJECTED causality: " in told["leaking"]
    assert "\ncommitment: " in told["leaking"]
    assert "Final metrics" not in told["leaking"]
    assert "AssertionError: only in training (custom_pretrain.py, line 28, in forward)" in told["failing"]
    assert "\nERROR: the model's process ended while " in told["dying"]
    assert "\nFrom the processes that ran the model:\nfarewell" in told["dying"], told["dying"]
    records = {}
    with server.client() as client:
        for name, agent in agents.items():
            records[name] = client.get(f"/v1/results/{agent.id}-1").json()["record"]
    assert all(audit["passed"] for audit in records["busy"]["audits"])
    assert {audit["name"] for audit in records["busy"]["audits"]} >= {"parameters", "commitment", "bias", "canary"}
    assert records["busy"]["parameters"]["counted"] <= records["busy"]["parameters"]["cap"]
    steps = {name: record["self_reported"]["steps_reported"] for name, record in records.items()}
    assert steps == {"busy": 40, "leaking": 20, "failing": 20, "dying": 20}
    assert {record["self_reported"]["steps_expected"] for record in records.values()} == {20}
    assert "of step 40" in records["busy"]["runs"][0]["note"]
    assert not all(audit["passed"] for audit in records["leaking"]["audits"])
    assert records["failing"]["audits"] == records["dying"]["audits"] == []


def stored(name: str, passed: bool, complaint: str = "") -> StoredAudit:
    return StoredAudit(
        name=name, passed=passed, figure=0.5, limit=0.1, unit="nats", samples=9, where="a", complaint=complaint
    )


def rejected(reason: str, *audits: StoredAudit) -> list[str]:
    """What an agent is told of an evaluation with these audits, and others that were passed."""
    passed = [stored(name, True) for name in ("parameters", "bias")]
    return list(rejection(run_of(reason, Evaluation(audits=(*passed, *audits)))))


def test_each_audit_that_failed_has_a_line_and_then_what_it_demands() -> None:
    complaints = ["drift: it moves; it must stay (a, b)", "bias: too good (val_loss)", "bias: too good (lambada_ppl)"]
    audits = [stored(words.partition(":")[0], False, words) for words in complaints]
    assert rejected("; ".join(complaints), *audits) == [
        "[REJECTED drift: it moves; it must stay (a, b)]",
        "bias: too good (val_loss)",
        "bias: too good (lambada_ppl)",
        "What the model claims for the tokens that do come must be what it expects of them without seeing them.",
    ]


OLD = (
    b'{"parameters":106000,"checkpoint_sha256":null,"audits":['
    b'{"name":"parameters","passed":true,"figure":106000.0,"limit":120000.0,"unit":"parameters","samples":1,"where":""},'
    b'{"name":"causality","passed":false,"figure":0.123456,"limit":0.001,"unit":"nats","samples":64,'
    b'"where":"val_loss, sequence 3, position 17"},'
    b'{"name":"bias","passed":false,"figure":0.25,"limit":0.0001,"unit":"nats","samples":256,"where":"val_loss"},'
    b'{"name":"bias","passed":true,"figure":0.0,"limit":0.0001,"unit":"nats","samples":256,"where":"lambada_ppl"},'
    b'{"name":"canary","passed":false,"figure":1.5,"limit":0.0123456,"unit":"nats","samples":8192,"where":""}],'
    b'"details":{"val_tokens":65536}}'
)
"""An evaluation as it was stored when audits had no complaint of their own, and the reason of its run."""
OLD_REASON = (
    "causality: what the model expects at a position moves by 0.123 nats when only later tokens and other rows of the "
    "batch change, allowed is 0.001; it must depend on the tokens up to that position and nothing else "
    "(val_loss, sequence 3, position 17); "
    "bias: log-probabilities that were scored are 0.25 nats better on average than what a second process of the same "
    "model expects before it has seen the tokens, allowed is 0.0001 (val_loss); "
    "canary: random tokens are predicted 1.5 nats better than anyone can, allowed is 0.0123"
)


def run_of(reason: str, evaluation: Evaluation) -> Run:
    return Run(
        run_id="r",
        position=0,
        label="gpt",
        script="gpt.sh",
        status=Status.REJECTED,
        started_at=0,
        ended_at=1,
        reason=reason,
        evaluation=evaluation,
    )


def told_of_old(reason: str) -> list[str]:
    return list(rejection(run_of(reason, Evaluation.from_json(json.loads(OLD)))))


def test_a_stored_evaluation_without_complaints_is_told_as_it_was() -> None:
    assert told_of_old(OLD_REASON) == [
        "[REJECTED causality: what the model expects at a position moves by 0.123 nats when only later tokens and "
        "other rows of the batch change, allowed is 0.001; it must depend on the tokens up to that position and "
        "nothing else (val_loss, sequence 3, position 17)]",
        "bias: log-probabilities that were scored are 0.25 nats better on average than what a second process of the "
        "same model expects before it has seen the tokens, allowed is 0.0001 (val_loss)",
        "canary: random tokens are predicted 1.5 nats better than anyone can, allowed is 0.0123",
        "What the model claims for the tokens that do come must be what it expects of them without seeing them.",
        "Nobody can predict random tokens: a model that seems to has seen them, or its claims are no probabilities.",
    ]
    figures = "causality: 0.123456 nats, the limit is 0.001, val_loss, sequence 3, position 17; "
    figures += "bias: 0.25 nats, the limit is 0.0001, val_loss; canary: 1.5 nats, the limit is 0.0123456"
    assert told_of_old(figures)[:3] == [
        "[REJECTED causality: 0.123456 nats, the limit is 0.001, val_loss, sequence 3, position 17]",
        "bias: 0.25 nats, the limit is 0.0001, val_loss",
        "canary: 1.5 nats, the limit is 0.0123456",
    ]


def test_a_stored_evaluation_without_complaints_is_read_and_written_as_it_was() -> None:
    read = Evaluation.from_json(json.loads(OLD)).to_json()
    assert (CompactJson().process_bind_param(read, DefaultDialect()) or "").encode() == OLD


def test_a_stored_evaluation_with_one_failed_audit_has_its_reason_for_complaint() -> None:
    assert (
        rejected("bias: too good; see there: 7", stored("bias", False))[0] == "[REJECTED bias: too good; see there: 7]"
    )


def test_a_rejection_names_the_audit_even_when_its_reason_does_not() -> None:
    assert rejected("off by 0.5", stored("bias", False), stored("bias", False))[0] == "[REJECTED bias: off by 0.5]"


def test_a_rejection_without_a_known_audit_is_told_as_it_is() -> None:
    assert rejected("the operator's own audit: 7; drift: 8") == ["[REJECTED the operator's own audit: 7; drift: 8]"]
