"""A real service on a real port, for every test that needs one."""

from __future__ import annotations

import fcntl
import importlib.util
import itertools
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import runner
from env.lifecycle.reference import listed, put, recipe
from env.lifecycle.unedited import SEEDS
from env.store.engine import open_database
from runner.container.engine import Engine, EngineError
from runner.container.runner import DockerRunner
from runner.container.sandbox import Sandbox
from runner.slurm.cluster import Cluster
from runner.slurm.runner import SlurmRunner
from tasks.load import load_tasks
from tests.support.containers import containers_with, import_empty_image, remove_containers
from tests.support.postgres import Postgres, PostgresMissing, postgres_server, programs
from tests.support.processes import kill_under, run_to_end
from tests.support.service import TASK, Serve, Server, services
from tests.support.slurm import SlurmCluster, SlurmMissing, check_programs, slurm_cluster, wait_for_no_jobs, write_image

_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    item.stash[_FAILED] = item.stash.get(_FAILED, False) or report.failed
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """A test that has failed, or could not clean up, leaves no process in its folder."""
    folder = getattr(item, "funcargs", {}).get("tmp_path")
    try:
        result = yield
    except BaseException:
        item.stash[_FAILED] = True
        raise
    finally:
        if folder is not None and item.stash.get(_FAILED, False):
            kill_under(folder)
    return result


DATABASES = {
    "sqlite": None,
    "postgres": "",
    "icu": "LOCALE_PROVIDER icu ICU_LOCALE 'en-US' TEMPLATE template0",
}
"""For the option: how a database is created; None for SQLite's files."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--database", choices=list(DATABASES), default="sqlite", help="what services and stores are on")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: when workers share the files, the last ones to be done are small."""
    seconds = Counter[Path]()
    for item in items:
        seconds[item.path] += _expected_s(item)
    items.sort(key=lambda item: -seconds[item.path])


def _expected_s(item: pytest.Item) -> float:
    """Roughly what a test takes: one with a time limit of its own, a tenth of that; others moments, unless they are
    slow or start containers, services or evaluations."""
    if limit := item.get_closest_marker("timeout"):
        return float(limit.args[0]) / 10
    if item.get_closest_marker("slow"):
        return 5
    starts = {"serve", "bench"} & set(getattr(item, "fixturenames", ()))
    return 1 if starts or any(map(item.get_closest_marker, ("docker", "slurm"))) else 0.1


@pytest.fixture(scope="session")
def smoke_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder for all services that really run tests, with the smoke data and the reference of the smoke scale.
    What it measured is noted for the further seeds as well, so that no service trains them beside its tests.

    One for all workers of pytest, whose folders have one parent. References of scales with other settings are made by
    whichever service first needs one, and stay.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "smoke-data"
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "env.cli", "reference", "make", "--no-scores", "--runner", "local"]
    with (folder / ".made").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "reference").exists():
            where = ("--data", str(folder), "--state", str(tmp_path_factory.mktemp("reference")))
            made = run_to_end([*command, *where], patience_s=300)
            assert made.returncode == 0, made.stderr
            note_further_seeds(folder)
    return folder


def note_further_seeds(data: Path) -> None:
    """Notes the figures of the one reference there is for every seed that scores wait for."""
    task = load_tasks()[TASK]
    [made] = listed(data)
    for seed in SEEDS:
        wanted = recipe(task, task.scales["smoke"], data, seed)
        assert wanted is not None
        put(data, wanted.key, made.table.model_copy(update={"seed": seed}), b"no weights")


def _shared_data(request: pytest.FixtureRequest) -> Callable[[], Path]:
    """The shared data folder, made when the first service wants it."""
    return lambda: Path(request.getfixturevalue("smoke_data"))


@pytest.fixture(scope="session")
def new_database(request: pytest.FixtureRequest) -> Callable[[], str | None]:
    """The URL of a database of its own for a service, already migrated; None where it is to use a file."""
    options = DATABASES[request.config.getoption("--database")]
    if options is None:
        return lambda: None
    server: Postgres = request.getfixturevalue("postgres_session")
    template = server.create(options)
    open_database(template).dispose()
    return lambda: server.running().copy_of(template)


@pytest.fixture
def serve(tmp_path: Path, request: pytest.FixtureRequest, new_database: Callable[[], str | None]) -> Iterator[Serve]:
    """`serve("--runner", "fake", ...)` starts a service in a state folder of its own, stopped at the end."""
    names = (f"state{number}" for number in itertools.count())
    with services(
        lambda: tmp_path / next(names), "--runner", "fake", data=_shared_data(request), database=new_database
    ) as start:
        yield start


@pytest.fixture(scope="module")
def serve_shared(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest, new_database: Callable[[], str | None]
) -> Iterator[Serve]:
    """Like `serve`, for services that all tests of a module share; each test opens sessions of its own."""
    with services(
        lambda: tmp_path_factory.mktemp("shared") / "state", data=_shared_data(request), database=new_database
    ) as start:
        yield start


@pytest.fixture(scope="module")
def shared(serve_shared: Serve) -> Server:
    """One service with the fake runner."""
    return serve_shared("--runner", "fake")


@pytest.fixture(scope="session")
def engine_url() -> str | None:
    """An engine that answers. Without one its tests are skipped, or fail where RINGFENCE_REQUIRE_DOCKER is set."""
    url = os.environ.get("DOCKER_HOST")
    try:
        engine = Engine(url)
    except EngineError as error:
        if os.environ.get("RINGFENCE_REQUIRE_DOCKER"):
            pytest.fail(f"a container engine is required here: {error}")
        pytest.skip("no container engine answers; .ci/engine starts one")
    engine.close()
    return url


@pytest.fixture(scope="session")
def postgres_session() -> Iterator[Postgres]:
    """A PostgreSQL server. Without one its tests are skipped, or fail where RINGFENCE_REQUIRE_POSTGRES is set."""
    try:
        found = programs()
    except PostgresMissing as missing:
        if os.environ.get("RINGFENCE_REQUIRE_POSTGRES"):
            pytest.fail(f"a PostgreSQL server is required here: {missing}")
        pytest.skip(f"no PostgreSQL server: {missing}")
    with postgres_server(found) as server:
        yield server


@pytest.fixture
def postgres(postgres_session: Postgres) -> Postgres:
    """The same, running, whatever another test did to it."""
    return postgres_session.running()


@pytest.fixture(scope="session")
def make_host_image() -> Callable[[str | None], str]:
    """Makes an image on an engine in a moment, because it is empty: the host's programs are bound into it."""
    return import_empty_image


@pytest.fixture(scope="session")
def host_image(engine_url: str | None) -> str:
    return import_empty_image(engine_url)


@pytest.fixture(scope="session")
def host_sandbox() -> Sandbox:
    """What the empty image needs of the host: its programs, this Python, and the package that runs inside."""
    inside = Path(runner.__file__).parent
    folders = ["/usr", sys.prefix, str(inside)]
    if not sys.base_prefix.startswith("/usr"):
        folders.append(sys.base_prefix)
    return Sandbox(
        binds={folder: folder for folder in folders},
        environment={"PATH": f"{sys.prefix}/bin:/usr/bin:/bin"},
        cpus=1,
    )


@pytest.fixture
def contain(
    tmp_path: Path, engine_url: str | None, host_image: str, host_sandbox: Sandbox
) -> Iterator[Callable[..., DockerRunner]]:
    """`contain(processes=40, ...)` makes a docker runner, with other sandbox settings. All on one root. Afterwards no
    container and no folder of theirs may be left.
    """
    (tmp_path / "data" / "corpus").mkdir(parents=True)
    runners: list[DockerRunner] = []

    def make(slots: int = 2, image: str = host_image, **settings: Any) -> DockerRunner:
        sandbox = replace(host_sandbox, **settings)
        runners.append(DockerRunner(tmp_path / "runs", tmp_path / "data", slots, image, sandbox, engine_url))
        return runners[-1]

    try:
        yield make
        last = make()
        for run_id in last.run_ids():
            last.remove(run_id)
        assert containers_with(engine_url, str(tmp_path / "runs")) == []
    finally:
        for one in runners:
            one.close()
        remove_containers(str(tmp_path / "runs"), engine_url)
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.fixture(scope="session")
def slurm_session() -> Iterator[SlurmCluster]:
    """A Slurm cluster. Without its programs its tests are skipped, or fail where RINGFENCE_REQUIRE_SLURM is set."""
    try:
        check_programs()
    except SlurmMissing as missing:
        if os.environ.get("RINGFENCE_REQUIRE_SLURM"):
            pytest.fail(f"a Slurm cluster is required here: {missing}")
        pytest.skip(f"no Slurm cluster: {missing}")
    with slurm_cluster() as cluster:
        yield cluster


@pytest.fixture
def slurm(slurm_session: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> SlurmCluster:
    """The same, running, whatever another test did to it, and the one that Slurm's commands ask."""
    monkeypatch.setenv("SLURM_CONF", str(slurm_session.conf))
    return slurm_session.renew()


@pytest.fixture
def cluster_file(tmp_path: Path, slurm: SlurmCluster) -> Cluster:
    """What an operator would say about the test cluster: sandboxes hold this host's programs and Python."""
    folders = ["/usr", sys.prefix, str(Path(runner.__file__).parent)]
    if not sys.base_prefix.startswith("/usr"):
        folders.append(sys.base_prefix)
    return Cluster(
        folder=tmp_path,
        image=str(write_image(tmp_path / "image")),
        binds={folder: folder for folder in folders},
        environment={"PATH": f"{sys.prefix}/bin:/usr/bin:/bin"},
        cpus=1,
        gpus=4,
        lost_after_s=8,
        node_folder=slurm.folder / "node-tmp",
    )


@pytest.fixture
def on_slurm(tmp_path: Path, slurm: SlurmCluster, cluster_file: Cluster) -> Iterator[Callable[..., SlurmRunner]]:
    """`on_slurm(processes=40, ...)` makes a Slurm runner, with other keys of the cluster file. All on one root.
    Afterwards no job, no process and no folder of theirs may be left.
    """
    (tmp_path / "data" / "corpus").mkdir(parents=True)

    def make(**keys: Any) -> SlurmRunner:
        return SlurmRunner(tmp_path / "runs", tmp_path / "data", replace(cluster_file, **keys))

    try:
        yield make
        slurm.start()
        last = make()
        for run_id in last.run_ids():
            last.remove(run_id)
        wait_for_no_jobs(slurm)
        assert not any(cluster_file.node_folder.glob("*"))
    except BaseException:
        kill_under(tmp_path)
        raise
    assert not any((tmp_path / "runs").glob("*"))


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], ModuleType]:
    """Imports a script's text, as a model worker does."""

    def load_text(text: str) -> ModuleType:
        path = tmp_path / "loaded.py"
        path.write_text(text, encoding="utf-8")
        spec = importlib.util.spec_from_file_location("loaded", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load_text
