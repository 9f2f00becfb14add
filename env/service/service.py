"""The wired service: every room built once, from settings."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Engine

from env.api.catalogue import Ready
from env.lifecycle.loop import Lifecycle, utc_now
from env.lifecycle.rehearsals import Rehearsals
from env.service.access import Access
from env.service.boards import Boards
from env.service.catalogue import Catalogue
from env.service.checks import Checks
from env.service.closing import DEFAULT_PATIENCE, Closing, Patience
from env.service.history import History
from env.service.live import LiveSessions
from env.service.opening import Opening
from env.service.steps import Steps
from env.service.tools import Tools
from env.service.views import Views
from env.store.checkpoint import Checkpoints
from env.store.engine import open_database
from env.store.store import Store
from env.telemetry.metrics import Metrics
from env.telemetry.watch import Telemetry
from runner.pool import Host
from runner.protocol import Runner
from tasks.anchors import ScaleAnchors
from tasks.model import Task


@dataclass(frozen=True)
class Settings:
    db: str
    """SQLAlchemy URL, e.g. `sqlite:///.ringfence/ringfence.db`."""
    state_dir: Path
    """Where the service keeps its secret."""
    keys: Sequence[str] = ()
    """Operators' keys; empty means anyone who reaches the service may open a session."""
    default_scale: str | None = None
    """Of sessions that name none."""
    patience: Patience = DEFAULT_PATIENCE
    """With sessions that nobody ends."""


@dataclass(frozen=True)
class Service:
    engine: Engine
    tasks: Mapping[str, Task]
    runner: Runner
    lifecycle: Lifecycle
    metrics: Metrics
    checkpoints: Checkpoints
    opening: Opening
    tools: Tools
    views: Views
    history: History
    closing: Closing
    catalogue: Catalogue
    boards: Boards
    open_to_all: bool
    """No operator keys are configured: it listens on loopback only."""

    def ready(self) -> Ready:
        """Whether tests are being taken. Raises what the database raises if it does not answer."""
        return Ready(
            ok=self.lifecycle.alive, runner=self.runner.name, slots=self.runner.slots, tests=self.views.counts()
        )


def build(
    settings: Settings,
    tasks: Mapping[str, Task],
    runner: Runner,
    host: Host,
    anchors: Mapping[str, Mapping[str, ScaleAnchors]] | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> Service:
    engine, store = open_database(settings.db), Store()
    anchors = anchors or {}
    catalogue = Catalogue(tasks, anchors)
    boards = Boards(engine, store, tasks, catalogue)
    for scale, each in (item for of_task in anchors.values() for item in of_task.items()):
        boards.adopt(scale, each)
    access = Access(_secret(settings.state_dir), settings.keys)
    live = LiveSessions(engine, store)
    metrics = Metrics(engine, store, host)
    lifecycle = Lifecycle(engine, store, runner, host, clock, Telemetry(metrics))
    steps = Steps(engine, store, live, access, clock)
    views = Views(engine, store, live, lifecycle, access)
    checks = Checks(engine, store, live, steps, Rehearsals(runner, lifecycle.tidied), access)
    return Service(
        engine,
        tasks,
        runner,
        lifecycle,
        metrics,
        Checkpoints(engine),
        Opening(engine, store, live, tasks, access, lambda: secrets.token_hex(8), clock, settings.default_scale),
        Tools(engine, store, live, steps, lifecycle, checks, access, clock),
        views,
        History(engine, store, live, views),
        Closing(engine, store, live, clock, settings.patience),
        catalogue,
        boards,
        access.open_to_all,
    )


def _secret(folder: Path) -> bytes:
    """What session tokens are derived from: made once, readable by the service's user only."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "secret"
    if not file.exists():
        fresh = folder / f"secret.{secrets.token_hex(4)}"
        fresh.touch(mode=0o600)
        fresh.write_bytes(secrets.token_bytes(32))
        fresh.rename(file)
    return file.read_bytes()
