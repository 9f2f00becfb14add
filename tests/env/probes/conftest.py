"""A service with the task `proxied`, whose scale `smoke` has the proxy `tiny`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.tasks import write_proxied_task, write_quick_task

if TYPE_CHECKING:
    from tests.support.service import Serve, Server


@pytest.fixture(scope="session")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the task, and with `quick`, which is without probes."""
    folder = tmp_path_factory.mktemp("tasks")
    write_quick_task(folder / "quick")
    write_proxied_task(folder / "proxied")
    return folder


@pytest.fixture
def server(serve: Serve, proxied: Path) -> Server:
    """A service of the test's own that invents results."""
    return serve("--runner", "fake", "--slots", "1", "--tasks", str(proxied))
