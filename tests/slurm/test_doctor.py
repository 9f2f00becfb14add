"""What the doctor says of a cluster, by trial jobs."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from runner.slurm.cluster import Cluster
from tests.support.processes import plain_environment, run_to_end
from tests.support.slurm import as_toml

pytestmark = pytest.mark.slurm


def examined(tmp_path: Path, cluster: Cluster) -> dict[str, dict[str, Any]]:
    """The findings by subject."""
    file = tmp_path / "cluster.toml"
    file.write_text(as_toml(dataclasses.replace(cluster, folder=tmp_path / "shared")))
    options = ["--runner", "slurm", "--cluster", str(file), "--state", str(tmp_path / "state"), "--port", "0", "--json"]
    done = run_to_end([sys.executable, "-m", "env.cli", "doctor", *options], env=plain_environment())
    return {finding["subject"]: finding for finding in json.loads(done.stdout)}


def test_a_trial_job_tells_what_there_is_and_what_is_missing(tmp_path: Path, cluster_file: Cluster) -> None:
    found = examined(tmp_path, dataclasses.replace(cluster_file, gpus=0))
    assert found["runner"]["level"] == "ok"
    assert "bubblewrap" in found["runner"]["seen"]
    assert found["sandbox"]["level"] == "ok", found["sandbox"]
    assert found["evaluator"]["level"] == "ok"
    assert {"neighbours", "control groups", "sized outputs"} <= {
        subject for subject, finding in found.items() if finding["level"] == "warning"
    }
    assert list((tmp_path / "shared").glob("*")) == []


def test_a_sandbox_that_cannot_be_made_is_a_problem_with_its_cause(tmp_path: Path, cluster_file: Cluster) -> None:
    found = examined(tmp_path, dataclasses.replace(cluster_file, gpus=0, image=str(tmp_path / "no-image")))
    assert found["runner"]["level"] == "problem"
    assert "no-image" in found["runner"]["seen"]
