"""Two agents' tests on one host: whose code runs beside a scorer, and a service that is killed while one is frozen."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.containers import containers_with, engine_client
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.attacks.conftest import Range

pytestmark = pytest.mark.docker

SLOW = """\
class LayerNorm(nn.Module):
    def __init__(self, ndim, bias):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(ndim))
        self.bias = nn.Parameter(torch.zeros(ndim)) if bias else None

    def forward(self, x):
        import time
        if self.training:
            time.sleep(0.05)
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, 1e-5)
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_neighbour_is_frozen_also_while_the_service_is_dead(
    open_range: Callable[..., AbstractContextManager[Range]], tmp_path: Path, engine_url: str | None
) -> None:
    with open_range(tmp_path / "range", {"normalization"}, apart=True) as arena:
        runs = str(arena.server.state / "runs")

        def frozen() -> int:
            of_ours = containers_with(engine_url, runs)
            with engine_client(engine_url) as client:
                return len([one for one in client.containers(filters={"status": "paused"}) if one["Id"] in of_ours])

        neighbour = arena.honest("normalization", {"norm": SLOW})
        quick = arena.honest("normalization", {})
        until(lambda: frozen() == 1, 200, 0.05)
        arena.server.kill()
        assert frozen() == 1
        time.sleep(2)
        arena.server.start()
        assert quick.result()["status"] == "succeeded"
        seen = neighbour.result()
        assert seen["status"] == "succeeded", seen["observation"]
        training, *_ = neighbour.runs()
        assert training["paused_s"] > 2
        whole = training["ended_at"] - training["started_at"]
        assert whole == pytest.approx(training["elapsed_s"] + training["paused_s"], abs=0.01)
        until(lambda: containers_with(engine_url, runs) == [], 60, 0.2)
