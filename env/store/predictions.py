"""What sessions both probed and tested: read for telling how well probes predict."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Row, and_, select

from env.store.model import Status
from env.store.store import Store
from env.store.tables import runs, sessions, task_versions, tests
from leaderboard.naming import metric_column, ranking_column
from leaderboard.predictions import ProbedCode, ProbeWorth, probe_worth

_AT_ONCE = 500  # sessions per statement: far below every database's limit on parameters

_Losses = dict[tuple[str, int], float]
"""By session and test's key."""


def predictions(conn: Connection, store: Store, task_id: str) -> list[ProbeWorth]:
    """How well probes of the task predicted its tests, by scale, proxy and runner; empty where no session has both
    probed and tested two codes. Of one code, its first probe and its first test count.
    """
    found = _in_both(conn, task_id)
    losses = _losses(conn, {row.session_id for row in found})
    groups: dict[tuple[str, str, str], dict[tuple[str, int], ProbedCode]] = defaultdict(dict)
    seen: set[tuple[str, int]] = set()
    for row in found:
        probed, tested = (row.session_id, row.probe_n), (row.session_id, row.n)
        if not {probed, tested} <= losses.keys():
            continue
        again = not seen.isdisjoint({probed, tested})
        seen |= {probed, tested}
        if again:
            continue
        proxy = store.task(conn, row.task_version).scales[row.scale].probe
        assert proxy is not None, "a probe without a proxy"
        code = ProbedCode(session_id=row.session_id, probe_loss=losses[probed], test_loss=losses[tested])
        groups[row.scale, proxy, row.runner][tested] = code
    told = (probe_worth(*group, list(codes.values())) for group, codes in sorted(groups.items()))
    return [one for one in told if one is not None]


def _in_both(conn: Connection, task_id: str) -> list[Row[*tuple[Any, ...]]]:
    """Succeeded probes and tests of the same files in the same session and on the same runner, the first ones first."""
    probe, test = tests.alias("probe"), tests.alias("test")
    same = and_(test.c.session_id == probe.c.session_id, test.c.n > 0, test.c.files == probe.c.files)
    return list(
        conn.execute(
            select(test.c.session_id, test.c.n, probe.c.n.label("probe_n"), test.c.runner)
            .add_columns(sessions.c.scale, sessions.c.task_version)
            .join_from(probe, test, and_(same, test.c.runner == probe.c.runner))
            .join(sessions, sessions.c.id == probe.c.session_id)
            .join(task_versions, task_versions.c.version == sessions.c.task_version)
            .where(probe.c.n < 0, task_versions.c.task_id == task_id)
            .where(probe.c.status == Status.SUCCEEDED.value, test.c.status == Status.SUCCEEDED.value)
            .order_by(test.c.session_id, test.c.n, probe.c.n.desc())
        )
    )


def _losses(conn: Connection, session_ids: Iterable[str]) -> _Losses:
    """What tests and probes are ranked by, where it is finite."""
    wanted = sorted(session_ids)
    columns: dict[tuple[str, int], dict[str, float | None]] = defaultdict(dict)
    for start in range(0, len(wanted), _AT_ONCE):
        some = runs.c.session_id.in_(wanted[start : start + _AT_ONCE])
        found = select(runs.c.session_id, runs.c.n, runs.c.label, runs.c.metrics).where(some).order_by(runs.c.position)
        for row in conn.execute(found):
            measured = {metric_column(name, row.label): value for name, value in row.metrics.items()}
            columns[row.session_id, row.n].update(measured)
    losses: _Losses = {}
    for key, measured in columns.items():
        name = ranking_column(measured)
        value = None if name is None else measured[name]
        if value is not None and math.isfinite(value):
            losses[key] = value
    return losses
