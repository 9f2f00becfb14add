"""The benches and the scripts for GPU hosts, neither of which `make test` plays as they are, have not rotted.

Every bench is played in a short form: that it runs is judged, and that it measures something, never how fast.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.load import load_task
from tests.bench import stages
from tests.bench.test_check import measure_checks
from tests.bench.test_edits import measure_crowd, measure_edits, measure_stages
from tests.bench.test_load import measure_load
from tests.bench.test_overhead import measure_overhead
from tests.bench.test_pages import measure_pages
from tests.bench.test_pool import measure_pool

TESTS = Path(__file__).parent
MODULES = sorted(path for folder in ("bench", "gpu") for path in (TESTS / folder).rglob("*.py"))
SCRIPTS = [*MODULES, *sorted((TESTS / "gpu").glob("*.sh"))]
SMALL_TASK = """\
id = "small"
title = "The smoke scale in fewer steps"
template = "custom_pretrain"
filename = "nanoGPT/custom_pretrain.py"
editable = [[22, 31]]
[scales.smoke]
world_size = 1
[scales.smoke.settings]
max_iters = 2
eval_interval = 1
eval_iters = 1
eval_tokens = 8192
audit_samples = 64
[[scales.smoke.stages]]
label = "gpt-smoke"
script = "gpt_small.sh"
role = "train"
timeout_s = 100
"""
SMALL_SCRIPT = """\
export OMP_NUM_THREADS=1 RANK=0 LOCAL_RANK=0 WORLD_SIZE=1 MASTER_ADDR=127.0.0.1 MASTER_PORT=0
exec python "$SCRIPT"
"""


def _name(path: Path) -> str:
    return str(path.relative_to(TESTS))


@pytest.fixture(autouse=True)
def _no_other_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RINGFENCE_BENCH_BASE", raising=False)


@pytest.mark.parametrize("connections", [1, 4])
def test_edits_are_measured_beside_echoes(serve: Callable[..., Any], connections: int) -> None:
    for one in measure_edits(serve, connections=connections, sessions=4, cycles=5, rounds=2):
        for seen in (one.echo, one.edit):
            assert len(seen.latencies_us) == 2 * 4 * 5
            assert 0 < seen.p50_us <= seen.p99_us
            assert seen.rate > 0
        assert one.base is None


def test_edits_are_measured_beside_another_checkouts(
    serve: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any folder with an environment in `.venv` will do: here it is this one."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / ".venv").symlink_to(sys.prefix)
    monkeypatch.setenv("RINGFENCE_BENCH_BASE", str(tmp_path / "other"))
    [one] = measure_edits(serve, connections=1, sessions=2, cycles=5, rounds=1)
    assert one.base is not None
    assert len(one.base.latencies_us) == len(one.edit.latencies_us) == 2 * 2 * 5


def test_edits_in_many_sessions_are_measured_beside_edits_in_one(serve: Callable[..., Any]) -> None:
    assert measure_crowd(serve, sessions=10, requests=100, rounds=2) > 0


def test_the_time_of_an_edit_is_split_by_stages(serve: Callable[..., Any], tmp_path: Path) -> None:
    [spent] = measure_stages(serve, tmp_path, pythons=[Path(sys.executable)], sessions=4, cycles=50, rounds=2)
    assert spent["all"] > 0
    assert sum(spent[name] for name in (*stages.STAGES, stages.SERVER)) == pytest.approx(spent["all"])


@pytest.mark.parametrize("place", [place for places in stages.STAGES.values() for place in places])
def test_a_stage_is_known_by_files_that_are_there(place: str) -> None:
    roots = [TESTS.parent, *map(Path, sys.path)]
    assert any((root / place.lstrip("/")).exists() for root in roots)


@pytest.mark.slow
def test_a_test_is_measured_beside_its_scripts_by_hand(
    serve: Callable[..., Any], tmp_path: Path, smoke_data: Path
) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / "task.toml").write_text(SMALL_TASK)
    (folder / "gpt_small.sh").write_text(SMALL_SCRIPT)
    server = serve("--runner", "local", "--tasks", str(folder))
    [pair] = measure_overhead(server, load_task(folder), tmp_path, smoke_data, pairs=1)
    assert pair.by_hand > 0
    assert pair.by_test > pair.in_runs > 0


@pytest.mark.slow
def test_a_check_is_measured_beside_an_import(serve: Callable[..., Any], tmp_path: Path) -> None:
    [one] = measure_checks(serve, tmp_path, shape="smoke", repeats=1)
    assert min(one.importing, one.check) > 0


def test_pages_are_measured(serve: Callable[..., Any], tmp_path: Path) -> None:
    pages = measure_pages(serve, tmp_path, results=60, with_curve=5, points=10, repeats=2)
    assert len(pages) == 10
    for page in pages:
        assert len(page.first_byte_ms) == 2
        assert 0 < min(page.first_byte_ms) <= page.p95_ms
        assert page.size > 0
        assert page.static > 0


def test_a_crowd_is_measured_beside_agents_alone(serve: Callable[..., Any], tmp_path: Path) -> None:
    [pair] = measure_load(serve, tmp_path, sessions=5, rows=100, steps=100, agents=3, seconds=4, rounds=1)
    for felt in (pair.alone, pair.crowded):
        assert not felt.refused
        assert min(felt.edits_ms) > 0
        assert min(felt.monitor_ms) > 0
        assert felt.memory_mb > 0
    assert pair.crowded.heard_bytes > 0
    assert len(pair.crowded.downloads) == 5


@pytest.mark.parametrize("runner", ["fake", "local"])
def test_the_use_of_slots_is_measured(serve: Callable[..., Any], tmp_path: Path, runner: str) -> None:
    played = measure_pool(serve, tmp_path, runner=runner, sessions=3, slots=2, tests=1, stage_s=0.2)
    assert [result["status"] for result in played.results] == ["succeeded"] * 3
    assert 1 <= played.most <= 2
    assert played.makespan > 2 * 0.2


@pytest.mark.parametrize("folder", sorted((TESTS / "gpu" / "tasks").iterdir()), ids=lambda folder: folder.name)
def test_every_task_for_gpus_is_complete(folder: Path) -> None:
    assert load_task(folder).id == folder.name


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_every_module_imports(path: Path) -> None:
    importlib.import_module(".".join(path.relative_to(TESTS.parent).with_suffix("").parts))


@pytest.mark.parametrize("path", SCRIPTS, ids=_name)
def test_every_module_that_is_started_by_name_is_there(path: Path) -> None:
    """`python -m a.b`, as a command line or as a list of arguments."""
    for name in re.findall(r"""-m(?: |", ")([a-z_]+(?:\.[a-z_]+)+)""", path.read_text()):
        assert importlib.util.find_spec(name) is not None, name
