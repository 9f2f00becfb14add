"""A database with as much in it as a busy service has after years, made by SQL from one session and one result."""

from __future__ import annotations

import random
from pathlib import Path

from sqlalchemy import Connection

from env.store.engine import open_database
from env.store.store import Store
from tests.bench.test_pages import add_result

FULL_SESSION = "s" + "0" * 15
"""One of the sessions with stored steps."""

_NUMBERS = "WITH RECURSIVE numbers(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM numbers WHERE k < :count)"
_SESSIONS = (
    _NUMBERS
    + """
    INSERT INTO sessions (id, task_version, agent, scale, metadata, token_sha256, created_at, submitted_test,
        submitted_at)
    SELECT printf('s%015d', k - 1), task_version, agent, scale, metadata, token_sha256, created_at, submitted_test,
        submitted_at FROM numbers, sessions WHERE id = :model""",
    _NUMBERS
    + """
    INSERT INTO tests (session_id, n, status, files, created_at, started_at, ended_at, cancel_requested, refunded,
        observation, devices)
    SELECT printf('s%015d', k - 1), n, status, files, created_at, started_at, ended_at, cancel_requested, refunded,
        observation, devices FROM numbers, tests WHERE session_id = :model""",
)
_STEPS = (
    _NUMBERS
    + """
    INSERT INTO steps (session_id, seq, tool, input, ok, observation, at, undone)
    SELECT printf('s%015d', (k - 1) / :each), (k - 1) % :each + 1, 'view', '{"start_line":1,"end_line":4}', 1,
        'nanoGPT/custom_pretrain.py, lines 1 to 4 of 460: import os, import math, import time, import torch', at, 0
    FROM numbers, steps WHERE session_id = :model AND seq = 1"""
)
_RESULTS = (
    _NUMBERS
    + """
    INSERT INTO results (run_key, task_id, agent, session_id, test, status, scale, seed, finished_at, task_version,
        code_sha256, template_unmodified, parameters, runner, image, training_data, heldout_data, reserve_data, board)
    SELECT printf('r%015d-%d', k / 2, k % 2 + 1), task_id, printf('agent-%d', k % 300), printf('r%015d', k / 2),
        k % 2 + 1, status, scale, seed, finished_at, task_version, printf('%064d', k), 0, parameters, runner, image,
        training_data, heldout_data, reserve_data, board
    FROM numbers, results WHERE run_key = :run_key""",
    """INSERT INTO result_texts (run_key, record, code)
    SELECT made.run_key, model.record, model.code FROM results AS made, result_texts AS model
    WHERE made.run_key LIKE 'r%' AND model.run_key = :run_key""",
    """INSERT INTO result_values (run_key, kind, name, position, value)
    SELECT made.run_key, kind, name, position, value * (0.95 + (abs(random()) % 100000) / 1000000.0)
    FROM results AS made, result_values AS model WHERE made.run_key LIKE 'r%' AND model.run_key = :run_key""",
    """INSERT INTO submissions (session_id, run_key, submitted_at, auto_submitted)
    SELECT session_id, run_key, finished_at, 0 FROM results WHERE run_key LIKE 'r%-1'""",
)


def fill(file: Path, *, sessions: int, rows: int, steps: int) -> None:
    """A new database: so many sessions, which share so many steps, and a board of so many rows, every second final."""
    engine = open_database(f"sqlite:///{file}")
    with engine.begin() as connection:
        add_result(connection, Store(engine), 0, random.Random(0), 1, 100)
        model = connection.exec_driver_sql("SELECT id FROM sessions").scalar_one()
        for statement in _SESSIONS:
            _play(connection, statement, count=sessions, model=model)
        _play(connection, _STEPS, count=steps, each=steps // sessions, model=model)
        for statement in _RESULTS:
            _play(connection, statement, count=rows, run_key=f"{model}-1")
    engine.dispose()


def _play(connection: Connection, statement: str, **values: int | str) -> None:
    """With those of the values that the statement has."""
    wanted = {name: value for name, value in values.items() if f":{name}" in statement}
    connection.exec_driver_sql(statement, wanted)
