"""The state folder and what it stands on: who uses it, the database in it, room on its disk, and the port."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, create_engine, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from env.operators.doctor.finding import Finding, ok, problem, warning
from env.store.engine import MIGRATIONS, VERSION_TABLE
from leaderboard import migrate

GIB = 1 << 30
LEAST = 1 * GIB
"""Below this a single run may fill the disk."""
COMFORTABLE = 20 * GIB


def state_folder(state: Path) -> tuple[bool, Finding]:
    """Whether a service has the folder in use, and the finding about it."""
    parent = next(folder for folder in (state.absolute(), *state.absolute().parents) if folder.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        return False, problem("state", f"{parent} is no folder this user can write to", "name another with --state")
    lock = state / "lock"
    if not lock.exists():
        return False, ok("state", f"{state}: free" if state.exists() else f"{state}: not there yet, will be made")
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True, warning(
                "state", f"{state}: a service is running on it", "stop it before starting another, or give --state"
            )
    return False, ok("state", f"{state}: free")


def disk(subject: str, folder: Path) -> Finding:
    """Whether the disk that holds, or would hold, the folder has room."""
    existing = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
    free = shutil.disk_usage(existing).free
    seen = f"{free / GIB:.1f} GiB free for {folder}"
    if free < LEAST:
        return problem(subject, seen, "free some space: a checkpoint alone takes up to 1.5 GB")
    if free < COMFORTABLE:
        return warning(subject, seen, f"enough for smoke runs; full-scale data and runs want {COMFORTABLE // GIB} GiB")
    return ok(subject, seen)


def database(url: str) -> Finding:
    """Whether it opens, is whole, and is not newer than this version. A SQLite file is only read."""
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            if not parsed.database or not Path(parsed.database).exists():
                return ok("database", f"{parsed.database or url}: not there yet, will be made")
            url = f"sqlite:///file:{Path(parsed.database).resolve()}?mode=ro&uri=true"
        engine = create_engine(url)
        with engine.connect() as connection:
            if parsed.get_backend_name() == "sqlite":
                verdict = connection.execute(text("PRAGMA quick_check(1)")).scalar_one()
                if verdict != "ok":
                    return problem("database", f"{parsed.database} is damaged: {verdict}", "restore a backup")
            newer = list(_newer(connection))
        engine.dispose()
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        return problem("database", str(error), "use a URL like sqlite:///ringfence.db, and install its driver")
    except (SQLAlchemyError, OSError) as error:
        told = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        return problem("database", told, "check the URL, that the server runs, and this user's rights on it")
    shown = parsed.render_as_string(hide_password=True)
    if newer:
        return problem(
            "database", f"{shown} was migrated by a newer version ({', '.join(newer)})", "install that version again"
        )
    return ok("database", shown)


def _newer(connection: Connection) -> Iterator[str]:
    """Revisions in the database that this version does not know."""
    tables = set(inspect(connection).get_table_names())
    for table, folder in ((VERSION_TABLE, MIGRATIONS), (migrate.VERSION_TABLE, migrate.MIGRATIONS)):
        if table in tables:
            known = migrate.revisions(folder)
            found = connection.execute(text(f"SELECT version_num FROM {table}")).scalars()
            yield from (f"{table} {revision}" for revision in found if revision not in known)


def port(host: str, number: int, in_use: bool) -> Finding:
    """Whether it can be listened on. `in_use`: a service runs on the state folder, which may well hold the port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, number))
        except OSError as error:
            seen = f"{host} port {number}: {error.strerror}"
            if in_use:
                return warning("port", seen, "probably the running service's; another needs another --port")
            return problem("port", seen, "stop what listens there, or give another --port")
    return ok("port", f"{host} port {number} can be listened on")
