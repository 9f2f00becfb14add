"""A PostgreSQL server of the tests' own, on loopback, that can be killed and started again."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import psutil

from tests.support.waiting import until

_USER = "postgres"
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "60",
    "shared_buffers": "32MB",
}


class PostgresMissing(Exception):
    """Why there can be no server here."""


def programs() -> Path:
    """The folder with the newest server's programs. Raises PostgresMissing."""
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        raise PostgresMissing("the driver psycopg is not installed") from error
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    named = shutil.which("initdb")
    if not found and named is None:
        raise PostgresMissing("PostgreSQL is not installed (Debian's package is postgresql)")
    return found[-1].parent if found else Path(str(named)).resolve().parent


class Postgres:
    """One server. Databases made on it are empty, and nobody else's."""

    def __init__(self, folder: Path, bin_folder: Path) -> None:
        self._data = folder / "data"
        self._log = folder / "log"
        self._bin = bin_folder
        self._process: subprocess.Popen[bytes] | None = None
        self._names = (f"ringfence_{number}" for number in count(1))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        if os.geteuid() == 0:  # the server refuses to run as root
            shutil.chown(folder, _USER, _USER)
        made = subprocess.run(
            self._as_user("initdb", "-D", str(self._data), "-U", _USER, "--auth=trust", "--no-sync", "-E", "UTF8"),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert made.returncode == 0, made.stderr

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://{_USER}@127.0.0.1:{self.port}/{database}"

    def start(self) -> Postgres:
        settings = {**_SETTINGS, "port": str(self.port), "unix_socket_directories": str(self._data.parent)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._as_user("postgres", "-D", str(self._data), *options), stdout=log, stderr=log, cwd="/"
            )
        until(self._answers, 60, 0.05, lambda: self._log.read_text()[-2000:])
        return self

    def running(self) -> Postgres:
        """Itself, started if it does not run."""
        return self if self._process is not None else self.start()

    def _family(self) -> list[psutil.Process]:
        """The server and all that it has started."""
        assert self._process is not None
        family = [psutil.Process(self._process.pid)]
        with contextlib.suppress(psutil.NoSuchProcess):
            family += family[0].children(recursive=True)
        return family

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """SIGSTOP to the server and to all that it has started: connections are accepted, and nothing is answered."""
        family = self._family()
        for one in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.suspend()
        try:
            yield
        finally:
            for one in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.resume()

    def kill(self) -> None:
        """SIGKILL to the server and to all that it has started."""
        assert self._process is not None
        family = self._family()
        process, self._process = self._process, None
        for one in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        process.wait(20)
        psutil.wait_procs(family, 20)

    def stop(self) -> None:
        """An orderly end that does not wait for clients. Nothing to do where it does not run."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)

    def create(self, options: str = "") -> str:
        """The URL of a new database; `options` is the end of the CREATE DATABASE statement."""
        name = next(self._names)
        self.execute(f"CREATE DATABASE {name} {options}")
        return self.url(name)

    def copy_of(self, template: str) -> str:
        """The URL of a new database with all that is in another one, to which nobody may be connected."""
        return self.create(f"TEMPLATE {template.rpartition('/')[2]}")

    def execute(self, statement: str, parameters: Sequence[Any] = (), url: str | None = None) -> list[Any]:
        """Runs one statement as the superuser, committed at once, and returns its rows if it has any."""
        import psycopg

        where = (url or self.url("postgres")).replace("+psycopg", "")
        with psycopg.connect(where, autocommit=True, connect_timeout=10) as connection:
            done = connection.execute(statement, parameters)
            return done.fetchall() if done.description is not None else []

    def cut(self, url: str) -> int:
        """Ends all connections to a database; returns how many there were."""
        name = url.rpartition("/")[2]
        return len(
            self.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
                [name],
            )
        )

    def _answers(self) -> bool:
        import psycopg

        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()[-2000:]
        try:
            return bool(self.execute("SELECT 1"))
        except psycopg.OperationalError:
            return False

    def _as_user(self, program: str, *arguments: str) -> list[str]:
        command = [str(self._bin / program), *arguments]
        if os.geteuid() == 0:
            return ["setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups", *command]
        return command


@contextlib.contextmanager
def postgres_server(bin_folder: Path) -> Iterator[Postgres]:
    """A server in a folder of its own, gone at the end."""
    # Not in pytest's own folder, which the server's user may not enter.
    with tempfile.TemporaryDirectory(prefix="ringfence-pg-", ignore_cleanup_errors=True) as folder:
        server = Postgres(Path(folder), bin_folder)
        try:
            yield server.start()
        finally:
            server.stop()
