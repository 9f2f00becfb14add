"""A prepared data folder, whose seed is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.data import prepare_smoke

SEED = b"a seed for tests"


@pytest.fixture(scope="session")
def seed() -> bytes:
    return SEED


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    prepare_smoke(folder, SEED)
    return folder
