"""A short soak; `make soak` is the long one, and says with which seed it can be had again."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.faults.soak import Locked, soak

if TYPE_CHECKING:
    from tests.faults.conftest import HeldTask
    from tests.support.postgres import Postgres
    from tests.support.service import Server

SEED = int(os.environ.get("SOAK_SEED") or 1)
SECONDS = 60 * float(os.environ.get("SOAK_MINUTES") or 0.1)


@pytest.mark.timeout(400 + 2 * SECONDS)
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_nothing_is_lost_and_nothing_doubled(
    database: str,
    serve_held: Callable[..., Server],
    held: HeldTask,
    locked: Locked,
    request: pytest.FixtureRequest,
) -> None:
    postgres: Postgres | None = request.getfixturevalue("postgres") if database == "postgres" else None
    server = serve_held(*(("--db", postgres.create()) if postgres else ()))
    held.release()
    print(f"\nsoak on {database}: SEED={SEED}, {SECONDS / 60:g} minutes")
    print(f"  {dict(soak(server, held, locked, postgres, SEED, SECONDS))}")
