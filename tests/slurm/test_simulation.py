"""Crowds of agents on clusters of all sizes, in simulated time: GPUs are not left idle while tests wait."""

from __future__ import annotations

import pytest

from tests.bench.cluster_simulation import simulate


@pytest.mark.parametrize(("agents", "gpus"), [(50, 8), (100, 64), (1000, 512)])
def test_a_crowd_is_done_in_little_more_than_the_ideal_time(agents: int, gpus: int) -> None:
    assert simulate(agents, gpus, probes=False).over_ideal <= 1.15


def test_probes_save_waiting() -> None:
    full, probed = (simulate(100, 64, probes=probes) for probes in (False, True))
    assert probed.makespan < full.makespan / 2
