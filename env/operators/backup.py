"""Everything of a service that nobody could make again, in one file; and from it a state folder that serves.

In the file: the database (SQLite), the secret that tokens are derived from, and of the data folder what belongs to
exams and certificates: the texts made for this folder alone, reserves with what was given out of them, references, and
the digests of all data sets. Not in it: what can be fetched again, and the folders of runs.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from runner.data.exam import RESERVE
from runner.data.lock import NAME as SOURCES

DATABASE, SECRET, DATA, MANIFEST = "ringfence.db", "secret", "data", "manifest.json"
FORMAT = 1
_WHOLE = ("smoke", "reference")
"""Folders of a data folder that are kept whole: made here, and nowhere else in the same way."""


class BackupError(Exception):
    """No backup was made, or restored; the message is one line that says why."""


@dataclass(frozen=True, kw_only=True)
class ServiceFiles:
    """Where a service keeps what is backed up."""

    state: Path
    data: Path
    database: Path | None
    """The SQLite file; None for a database on a server, which is backed up by that server's own means."""


def back_up(places: ServiceFiles, target: Path) -> int:
    """Writes the backup, whole or not at all, while a service may be running. Returns its size in bytes.

    Raises BackupError, also where the file is there already.
    """
    if not (places.state / SECRET).is_file():
        raise BackupError(f"{places.state} is no service's state folder: it has no file {SECRET}")
    if places.database is not None and not places.database.is_file():
        raise BackupError(f"there is no database {places.database}")
    if target.exists():
        raise BackupError(f"{target} is there already: nothing is overwritten")
    draft = target.with_name(f".{target.name}.part")
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".ringfence-backup-") as scratch:
            with os.fdopen(os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
                _write(places, Path(scratch), file)
            os.link(draft, target)  # unlike a renaming, it overwrites nothing
        return target.stat().st_size
    except (OSError, sqlite3.Error) as error:
        raise BackupError(f"cannot write {target}: {error}") from error
    finally:
        draft.unlink(missing_ok=True)


def restore(source: Path, places: ServiceFiles) -> None:
    """Lays a backup out in folders that are empty or not there, and checks every byte. Raises BackupError.

    `places.database` is None where the backup holds none.
    """
    for folder in (places.state, places.data):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise BackupError(f"{folder} is not empty: a backup is restored into an empty folder only")
    if places.database is not None and places.database.exists():
        raise BackupError(f"{places.database} is there already: nothing is overwritten")
    places.state.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=places.state.parent, prefix=".ringfence-restore-") as scratch:
            with tarfile.open(source) as archive:
                archive.extractall(scratch, filter="data")
            _check(Path(scratch), source)
            _lay_out(Path(scratch), places)
    except (OSError, tarfile.TarError) as error:
        raise BackupError(f"cannot restore {source}: {error}") from error


def _write(places: ServiceFiles, scratch: Path, file: io.BufferedWriter) -> None:
    # The database first: what was given out of a reserve meanwhile is given out in the backup as well.
    parts: list[tuple[str, Path]] = [(SECRET, places.state / SECRET)]
    if places.database is not None:
        parts.append((DATABASE, _copy_of(places.database, scratch / DATABASE)))
    parts += [(f"{DATA}/{path.relative_to(places.data)}", path) for path in _irreplaceable(places.data)]
    digests: dict[str, str] = {}
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, path in parts:
            with path.open("rb") as content:  # this one, whatever takes its place meanwhile
                digests[name] = hashlib.file_digest(content, "sha256").hexdigest()
                content.seek(0)
                archive.addfile(archive.gettarinfo(arcname=name, fileobj=content), content)
        manifest = json.dumps({"format": FORMAT, "sha256": digests}, indent=1).encode()
        told = tarfile.TarInfo(MANIFEST)
        told.size, told.mode = len(manifest), 0o600
        archive.addfile(told, io.BytesIO(manifest))


def _copy_of(database: Path, copy: Path) -> Path:
    """One moment's state of a database that may be in use."""
    original = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)
    with closing(original), closing(sqlite3.connect(copy)) as target:
        original.backup(target)
        (verdict,) = target.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise BackupError(f"{database} is damaged: {verdict}")
    return copy


def _irreplaceable(data: Path) -> Iterator[Path]:
    for path in sorted(data.rglob("*")):
        inside = path.relative_to(data)
        kept = inside.parts[0] in _WHOLE or RESERVE in inside.parts[:-1] or path.name in ("meta.json", SOURCES, ".made")
        if kept and path.is_file() and not path.is_symlink() and not path.name.endswith("lock"):
            yield path


def _check(folder: Path, source: Path) -> None:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        digests = dict(manifest["sha256"])
        if manifest["format"] != FORMAT:
            raise BackupError(f"{source} was written by another version (format {manifest['format']})")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BackupError(f"{source} is no whole backup: its list of files is missing or damaged") from error
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {MANIFEST}
    if there != digests.keys():
        raise BackupError(f"{source} is damaged: {', '.join(sorted(there ^ digests.keys())[:3])} missing or not listed")
    for name, digest in digests.items():
        if _digest(folder / name) != digest:
            raise BackupError(f"{source} is damaged: {name} has changed")


def _lay_out(folder: Path, places: ServiceFiles) -> None:
    if (places.database is None) == (folder / DATABASE).exists():
        has, wants = ("no", "one") if places.database is not None else ("a", "none")
        raise BackupError(f"the backup has {has} database, and --db asks for {wants}: restore it with the --db it had")
    places.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / DATA).mkdir(exist_ok=True)
    if places.data.exists():
        places.data.rmdir()
    places.data.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(folder / DATA, places.data)
    if places.database is not None:
        places.database.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(folder / DATABASE, places.database)
    (folder / SECRET).chmod(0o600)
    # Last: without it the folder is no service's.
    shutil.move(folder / SECRET, places.state / SECRET)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
