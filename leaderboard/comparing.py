"""Reads what entries are made of: the rows of a board's baselines, and of the codes that somebody asks about.

Statements only; they work inside the caller's transaction. However many results a board has, no more of it is read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from leaderboard.columns import METRIC, columns_at
from leaderboard.comparison import Comparison, compare
from leaderboard.entries import Entry, EntryRow, Noise, entries, noise_of_baselines
from leaderboard.naming import AFTER_BASELINES, BASELINE_PREFIX, COUNTS
from leaderboard.stored_scores import formula_of
from leaderboard.table import COMPARED_COLUMNS, Cell
from leaderboard.tables import boards, result_values, results

_AT_ONCE = 500  # hashes per statement: far below every database's limit on parameters
_OF_A_SEED = 20
"""Rows of one code, seed and status that are looked at: the first, operators' before agents'."""


@dataclass(frozen=True, kw_only=True)
class BoardEntries:
    """The entries of a board's baselines and of the codes that were asked about."""

    metric: str | None
    """The column that ranks; None where none does, and then there are no entries."""
    by_code: Mapping[str, Entry]
    """By their SHA-256; a code without a value has no entry."""
    baselines: Sequence[Entry]
    """The best first."""
    noise: Noise | None
    """Of the board; where no baseline has several seeds, that of the anchors. None where nobody knows it."""

    def comparison(self, code_sha256: str) -> Comparison | None:
        """A code beside the best baseline; None where it has no value, and where there is no baseline."""
        entry = self.by_code.get(code_sha256)
        return None if entry is None or self.metric is None else compare(entry, self.baselines, self.noise, self.metric)


def board_entries(connection: Connection, board: str, codes: Iterable[str] = ()) -> BoardEntries:
    """The entries of the baselines of a board, by its id, and of these codes there, by their SHA-256."""
    metric = columns_at(connection, board).primary_metric
    if metric is None:
        return BoardEntries(metric=None, by_code={}, baselines=(), noise=None)
    c = results.c
    here = select(c.code_sha256).where(c.board == board)
    known = here.where(of_baselines()).union(here.where(c.template_unmodified.is_(True)))
    wanted = sorted({*connection.execute(known).scalars(), *codes})
    rows = [
        row
        for start in range(0, len(wanted), _AT_ONCE)
        for row in _rows(connection, board, metric, c.code_sha256.in_(wanted[start : start + _AT_ONCE]))
    ]
    found = entries(rows)
    return BoardEntries(
        metric=metric,
        by_code={one.code_sha256: one for one in found},
        baselines=[one for one in found if one.baseline],
        noise=noise_of_baselines(found) or _anchored_noise(connection, board, metric),
    )


def _anchored_noise(connection: Connection, board: str, metric: str) -> Noise | None:
    """What was measured with the anchors that hold for the board."""
    found = connection.execute(select(boards).where(boards.c.id == board)).one()
    formula = formula_of(connection, found.task_version, found.scale, found.data)
    anchor = next((one for one in formula.anchors if one.metric == metric), None) if formula else None
    if anchor is None or not anchor.noise or not anchor.noise_df:
        return None
    return Noise(sd=anchor.noise, df=anchor.noise_df, entries=0)


def boards_of(connection: Connection, run_keys: Sequence[str]) -> Mapping[str, tuple[BoardEntries, str]]:
    """By run key of those results that succeeded, the entries of their board and the SHA-256 of their code."""
    c = results.c
    by_board: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for start in range(0, len(run_keys), _AT_ONCE):
        of_these = and_(c.run_key.in_(run_keys[start : start + _AT_ONCE]), c.status == COUNTS)
        for row in connection.execute(select(c.run_key, c.board, c.code_sha256).where(of_these)):
            by_board[row.board][row.run_key] = row.code_sha256
    found: dict[str, tuple[BoardEntries, str]] = {}
    for board, codes in by_board.items():
        read = board_entries(connection, board, codes.values())
        found |= {run_key: (read, code) for run_key, code in codes.items()}
    return found


def comparison_of(connection: Connection, run_key: str) -> Comparison | None:
    """A result's entry beside the best baseline of its board; None where there is nothing to compare."""
    found = boards_of(connection, [run_key]).get(run_key)
    return None if found is None else found[0].comparison(found[1])


def compared_cells(connection: Connection, run_keys: Sequence[str]) -> Mapping[str, Mapping[str, Cell]]:
    """By run key, the values of a table's COMPARED_COLUMNS: None for results that did not succeed."""
    cells: dict[str, Mapping[str, Cell]] = dict.fromkeys(run_keys, dict.fromkeys(COMPARED_COLUMNS))
    known: dict[tuple[int, str], Mapping[str, Cell]] = {}
    for run_key, (board, code) in boards_of(connection, run_keys).items():
        if (id(board), code) not in known:
            known[id(board), code] = _cells(board, code)
        cells[run_key] = known[id(board), code]
    return cells


def _cells(board: BoardEntries, code_sha256: str) -> Mapping[str, Cell]:
    entry, compared = board.by_code.get(code_sha256), board.comparison(code_sha256)
    values: tuple[Cell, ...] = (None,) * 3 if entry is None else (entry.n, entry.mean, entry.sd)
    values += (None,) * 4 if compared is None else (compared.delta, compared.error, compared.p, compared.verdict)
    return dict(zip(COMPARED_COLUMNS, values, strict=True))


def _rows(connection: Connection, board: str, metric: str, which: ColumnElement[bool]) -> Iterable[EntryRow]:
    c, value = results.c, result_values.c
    theirs = or_(c.confirms.is_not(None), of_baselines())
    place = func.row_number().over(
        partition_by=(c.code_sha256, c.seed, c.status), order_by=(~theirs, c.finished_at, c.run_key)
    )
    # Computed, so that SQLite takes the index of the codes: by that of the board it would read all of it.
    near = select(results, place.label("place")).where(func.coalesce(c.board, "") == board, which).subquery("near")
    first, of_session = near.c, results.alias("of_session").c
    chosen_from = select(func.count()).where(of_session.board == first.board, of_session.session_id == first.session_id)
    measured = and_(value.run_key == first.run_key, value.kind == METRIC, value.name == metric)
    statement = (
        select(near, value.value, chosen_from.scalar_subquery().label("chosen_from"))
        .select_from(near.outerjoin(result_values, measured))
        .where(first.place <= _OF_A_SEED)
    )
    for row in connection.execute(statement):
        yield EntryRow(
            run_key=row.run_key,
            session_id=row.session_id,
            test=row.test,
            agent=row.agent,
            code_sha256=row.code_sha256,
            status=row.status,
            seed=row.seed,
            finished_at=row.finished_at,
            value=None if row.unmet else row.value,
            unedited=row.template_unmodified,
            chosen_from=row.chosen_from,
            confirming=row.confirms is not None,
        )


def of_baselines() -> ColumnElement[bool]:
    """The condition that a result's agent is a baseline."""
    return and_(results.c.agent >= BASELINE_PREFIX, results.c.agent < AFTER_BASELINES)
