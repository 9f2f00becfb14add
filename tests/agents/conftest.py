"""A service that really runs tests, on a task of a few iterations, and what an agent does there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.scores import score_invented
from tests.support.tasks import write_quick_task

if TYPE_CHECKING:
    from tests.support.service import Serve, Server


@pytest.fixture(scope="module")
def local_arguments(tmp_path_factory: pytest.TempPathFactory, smoke_data: Path) -> tuple[str, ...]:
    """`ringfence serve` options: the task `quick`, tests as processes, and data that is made once."""
    folder = write_quick_task(tmp_path_factory.mktemp("quick"))
    return ("--runner", "local", "--slots", "2", "--tasks", str(folder), "--data", str(smoke_data))


@pytest.fixture(scope="module")
def local(serve_shared: Serve, local_arguments: tuple[str, ...]) -> Server:
    """One such service for all tests of a module."""
    return serve_shared(*local_arguments)


@pytest.fixture(scope="module")
def scored(serve_shared: Serve) -> Server:
    """One service with the fake runner whose results have scores."""
    return score_invented(serve_shared("--runner", "fake"))
