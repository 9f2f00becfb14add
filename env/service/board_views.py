"""Boards and figures as the API's answers name them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from leaderboard.board import BoardKey
from leaderboard.published import MARK, PublishedFigure
from leaderboard.table import BoardSummary, iso
from ringfence.api import boards as answers


def counted_boards(
    task_id: str, found: Sequence[BoardSummary], submitted: Mapping[str, int], here: Collection[BoardKey]
) -> answers.Board:
    """A task's boards with how much is on them; `submitted` counts submissions by board's id, `here` are the service's
    own.
    """
    return answers.Board(
        task_id=task_id,
        rows=sum(one.rows for one in found),
        sessions=sum(one.sessions for one in found),
        submissions=sum(submitted.get(one.board.id, 0) for one in found),
        last=iso(max(one.last for one in found)),
        boards=tuple(
            answers.CountedBoard(
                **board_facts(one.board, here).to_dict(),
                rows=one.rows,
                sessions=one.sessions,
                submissions=submitted.get(one.board.id, 0),
                last=iso(one.last),
            )
            for one in found
        ),
    )


def board_facts(board: BoardKey, here: Collection[BoardKey]) -> answers.BoardFacts:
    """A board as the API's answers name it; `here` are those of this service's own results."""
    return answers.BoardFacts(
        id=board.id,
        task_version=board.task_version,
        scale=board.scale,
        data=board.data,
        runner_class=board.runner_class.value,
        mark=board.runner_class.mark,
        here=board in here,
    )


def published_row(figure: PublishedFigure) -> answers.PublishedRow:
    return answers.PublishedRow(**vars(figure), mark=MARK)
