"""What is read from snapshots alone, in the service's process or in one of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeAlias

from sqlalchemy import NullPool, create_engine

from env.service.boards import LeaderboardReader
from env.service.catalogue import Catalogue
from env.service.here import Here
from env.service.history import History
from env.service.scoring import Scoring
from env.store.snapshots import Snapshots
from env.store.store import Store
from tasks.anchors import ScaleAnchors
from tasks.model import Task

P = ParamSpec("P")


@dataclass(frozen=True, kw_only=True)
class ReadingSettings:
    """From what another process makes the same readings."""

    db: str
    """The database's URL, with its password."""
    tasks: Mapping[str, Task]
    anchors: Mapping[str, Mapping[str, ScaleAnchors]]
    """By task and scale."""
    runner: str
    """The name of what runs tests now."""
    data_dir: Path | None
    """The data folder that runs read; None where nothing is really trained."""


@dataclass(frozen=True, kw_only=True)
class Readings:
    """Reads what takes its time; writes nothing and knows nothing of calls."""

    tasks: Mapping[str, Task]
    boards: LeaderboardReader
    history: History


Read: TypeAlias = Callable[Concatenate[Readings, P], Iterator[bytes]]
"""One long read: what it answers, piece by piece, ready to be sent. A function of a module, as other processes know it
by its name; what it raises, it raises before the first piece.
"""


def make_readings(store: Store, snapshots: Snapshots, settings: ReadingSettings, scoring: Scoring) -> Readings:
    """Readings over these snapshots of the database; `scoring` says what scores mean."""
    catalogue = Catalogue(settings.tasks, scoring)
    here = Here(settings.runner, settings.data_dir)
    return Readings(
        tasks=settings.tasks,
        boards=LeaderboardReader(store, settings.tasks, catalogue, snapshots, here),
        history=History(store, snapshots),
    )


def own_readings(settings: ReadingSettings) -> Readings:
    """The same for a process that has no engine yet."""
    engine = create_engine(settings.db, poolclass=NullPool)
    store = Store(engine)
    # Never refreshed, which would write: it looks whenever it is asked, as the service may have measured meanwhile.
    scoring = Scoring(store, settings.tasks, settings.anchors, settings.data_dir)
    return make_readings(store, Snapshots(engine), settings, scoring)
