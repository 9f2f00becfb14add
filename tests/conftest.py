"""A real service on a real port, for every test that needs one."""

from __future__ import annotations

import fcntl
import importlib.util
import io
import os
import re
import signal
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import docker
import httpx
import pytest

import runner
from runner.container.engine import Engine, EngineError
from runner.container.runner import DockerRunner
from runner.container.sandbox import Sandbox


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with the most slow tests first: when workers share the files, the last ones to be done are small."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow") or item.get_closest_marker("docker"))
    items.sort(key=lambda item: -slow[item.path])


class Server:
    """`ringfence serve` as a process. `kill` is SIGKILL; `start` again picks up the same state folder."""

    def __init__(self, state: Path, arguments: tuple[str, ...]) -> None:
        self.state = state
        self.arguments = arguments
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def start(self) -> Server:
        command = [sys.executable, "-m", "env.cli", "serve", "--port", "0", "--state", str(self.state)]
        with (self.state.parent / f"{self.state.name}.log").open("a") as log:
            self._process = subprocess.Popen(
                [*command, *self.arguments], stdout=subprocess.PIPE, stderr=log, text=True, env=_plain_environment()
            )
        assert self._process.stdout is not None
        first = self._process.stdout.readline()
        found = re.search(r"http://\S+", first)
        assert found is not None, f"no address in {first!r}; the log says: {self.log()}"
        self.url = found[0]
        return self

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def log(self) -> str:
        return (self.state.parent / f"{self.state.name}.log").read_text()

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(20)
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def client(self, token: str | None = None) -> httpx.Client:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=90)

    def open(self, task: str = "llm-pretrain-normalization", **more: Any) -> Agent:
        with self.client() as client:
            answer = client.post("/v1/sessions", json={"task": task, "agent": "tester", **more})
        assert answer.status_code == 201, answer.text
        return Agent(self, answer.json())


class Agent:
    """A session, used by HTTP."""

    def __init__(self, server: Server, opened: dict[str, Any]) -> None:
        self.opened = opened
        self.id: str = opened["session_id"]
        self.token: str = opened["token"]
        self._server = server

    def call(self, tool: str, arguments: dict[str, Any] | None = None, **options: Any) -> httpx.Response:
        return self.post(f"/{tool}", json=arguments or {}, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        with self._server.client(self.token) as client:
            return client.post(f"/v1/sessions/{self.id}{path}", **options)

    def get(self, path: str = "", **options: Any) -> httpx.Response:
        with self._server.client(self.token) as client:
            return client.get(f"/v1/sessions/{self.id}{path}", **options)

    def result(self, n: int) -> dict[str, Any]:
        """The test's view, once it is final."""
        while True:
            seen: dict[str, Any] = self.get(f"/tests/{n}", params={"wait": 20}).json()
            if seen["ended_at"] is not None:
                return seen


@pytest.fixture(scope="session")
def smoke_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder for all services that really run tests, with the smoke data and the reference of the smoke scale.

    One for all workers of pytest, whose folders have one parent. References of scales with other settings are made by
    whichever service first needs one, and stay.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "smoke-data"
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "env.cli", "reference", "make", "--runner", "local", "--data", str(folder)]
    with (folder / ".made").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "reference").exists():
            made = subprocess.run(
                [*command, "--state", str(tmp_path_factory.mktemp("reference"))],
                capture_output=True,
                text=True,
                env=_plain_environment(),
                check=False,
            )
            assert made.returncode == 0, made.stderr
    return folder


def _on_data(arguments: tuple[str, ...], request: pytest.FixtureRequest) -> tuple[str, ...]:
    """With the shared data folder, unless another is named or nothing is really run."""
    if "--data" in arguments or not {"local", "docker"} & set(arguments):
        return arguments
    return (*arguments, "--data", str(request.getfixturevalue("smoke_data")))


@pytest.fixture
def serve(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Server]]:
    """`serve("--runner", "fake", ...)` starts a service in a state folder of its own, stopped at the end."""
    servers: list[Server] = []

    def start(*arguments: str) -> Server:
        arguments = _on_data(arguments or ("--runner", "fake"), request)
        servers.append(Server(tmp_path / f"state{len(servers)}", arguments))
        return servers[-1].start()

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="module")
def serve_shared(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Server]]:
    """Like `serve`, for services that all tests of a module share; each test opens sessions of its own."""
    servers: list[Server] = []

    def start(*arguments: str) -> Server:
        servers.append(Server(tmp_path_factory.mktemp("shared") / "state", _on_data(arguments, request)))
        return servers[-1].start()

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="module")
def shared(serve_shared: Callable[..., Server]) -> Server:
    """One service with the fake runner."""
    return serve_shared("--runner", "fake")


def _plain_environment() -> dict[str, str]:
    """Without the RINGFENCE_* settings of whoever runs the tests."""
    return {name: value for name, value in os.environ.items() if not name.startswith("RINGFENCE_")}


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
def make_host_image() -> Callable[[str | None], str]:
    """Makes an image on an engine in a moment, because it is empty: the host's programs are bound into it."""
    return import_empty_image


@pytest.fixture(scope="session")
def host_image(engine_url: str | None) -> str:
    return import_empty_image(engine_url)


def import_empty_image(engine_url: str | None) -> str:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name in ("dev", "etc", "proc", "sbin", "sys", "tmp", "usr"):  # the engine lays its init into /sbin
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            tar.addfile(folder)
        for name in ("bin", "lib", "lib64"):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, f"usr/{name}"
            tar.addfile(link)
        users = b"root:x:0:0::/:/bin/sh\nrunner:x:1000:1000::/tmp:/bin/sh\n"
        for name, text in (("passwd", users), ("nsswitch.conf", b"passwd: files\nhosts: files\n")):
            file = tarfile.TarInfo(f"etc/{name}")
            file.size = len(text)
            tar.addfile(file, io.BytesIO(text))
    client = docker.APIClient(base_url=engine_url, version="auto")
    client.import_image_from_data(archive.getvalue(), repository="ringfence-test", tag="host")
    client.close()
    return "ringfence-test:host"


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

    yield make
    last = make()
    for run_id in last.run_ids():
        last.remove(run_id)
    for one in runners:
        one.close()
    assert containers_with(engine_url, str(tmp_path / "runs")) == []
    assert list((tmp_path / "runs").iterdir()) == []


def containers_with(engine_url: str | None, text: str) -> list[str]:
    """Ids of all containers, running or not, that mount something under `text`."""
    client = docker.APIClient(base_url=engine_url, version="auto")
    try:
        return [
            one["Id"]
            for one in client.containers(all=True)
            if any(str(mount.get("Source", "")).startswith(text) for mount in one["Mounts"])
        ]
    finally:
        client.close()


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
