"""What the benches need of the machine before their figures mean anything."""

from __future__ import annotations

import pytest

from tests.bench.target import CORES


@pytest.fixture(autouse=True)
def _two_cores() -> None:
    if len(CORES) < 2:
        pytest.skip("server and load need a core each")
