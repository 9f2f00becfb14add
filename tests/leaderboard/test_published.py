"""Figures of others: what is told of them, and that they are nobody's rows."""

from __future__ import annotations

from leaderboard.published import MARK, published
from tasks.load import load_tasks


def test_every_task_has_its_best_baseline_and_best_agent() -> None:
    found = published()
    tasks = load_tasks()
    assert {figure.task_id for figure in found.figures} == tasks.keys()
    for task_id in tasks:
        baseline, agent = found.of(task_id, "gpt-345m")
        assert (baseline.kind, agent.kind) == ("baseline", "agent")
        assert 2.1 < min(baseline.val_loss, agent.val_loss) <= max(baseline.val_loss, agent.val_loss) < 2.4


def test_a_few_of_them_are_as_published() -> None:
    figures = {(one.task_id.removeprefix("llm-pretrain-"), one.kind): one for one in published().figures}
    assert (figures["attention", "baseline"].name, figures["attention", "baseline"].val_loss) == ("rope", 2.2570)
    assert figures["linear-attention", "agent"].val_loss == 2.2014
    assert figures["loss", "agent"].val_loss == 2.2883
    assert figures["residual", "baseline"].name == "full_attnres"


def test_they_stand_beside_boards_of_their_scale_only() -> None:
    found = published()
    assert found.source.scale == "gpt-345m"
    assert found.of("llm-pretrain-mlp", "smoke") == ()
    assert len(found.of("llm-pretrain-mlp", None)) == 2
    assert found.of("another-task", "gpt-345m") == ()
    assert MARK == "published, other data, self-reported"
