"""A board's columns on a page: how they are grouped, titled, and sorted by the first click."""

from __future__ import annotations

import pytest

from leaderboard.pages.address import BoardAddress
from leaderboard.pages.board import board_view
from leaderboard.table import FIXED_COLUMNS, Table


def first_click(*metrics: str, elapsed: tuple[str, ...] = ()) -> dict[str, str]:
    """By title, the address that a heading leads to while the board is sorted by something else."""
    columns = (*FIXED_COLUMNS, *metrics, *elapsed)
    table = Table(
        task_id="t", board=None, columns=columns, metric_columns=metrics, rows=(), total=0, limit=50, offset=0
    )
    view = board_view(table, BoardAddress(sort="agent"))
    return {one.title: one.address for group in view.groups for one in group.headings}


@pytest.mark.parametrize("stage", ["eval-loss", "ppl", "lossless"])
def test_a_stage_label_says_nothing_about_which_way_is_better(stage: str) -> None:
    found = first_click(f"piqa_{stage}", f"val_loss_{stage}", f"lambada_ppl_{stage}", elapsed=(f"elapsed_{stage}",))
    assert found == {
        "piqa": f"?sort=-piqa_{stage}",
        "val_loss": f"?sort=val_loss_{stage}",
        "lambada_ppl": f"?sort=lambada_ppl_{stage}",
        "time": f"?sort=elapsed_{stage}",
    }


def test_a_stage_without_a_time_is_judged_by_the_metric_alone() -> None:
    assert first_click("piqa_eval-loss") == {"piqa_eval-loss": "?sort=-piqa_eval-loss"}
