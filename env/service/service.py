"""The wired service: every room built once, from settings."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Engine

from env.api.catalogue import Ready
from env.lifecycle.loop import Lifecycle, everybodys, utc_now
from env.lifecycle.rehearsals import Rehearsals
from env.lifecycle.turns import Turns
from env.service.access import Access
from env.service.boards import LeaderboardReader
from env.service.cancelling import Cancelling
from env.service.catalogue import Catalogue
from env.service.checks import Checks
from env.service.closing import DEFAULT_PATIENCE, Closing, SessionPatience
from env.service.live import LiveSessions
from env.service.long_reads import LongReads
from env.service.opening import Opening
from env.service.rates import DEFAULT_RATES, RateLimits
from env.service.readings import ReadingSettings, make_readings
from env.service.served import ServedTime
from env.service.steps import Steps
from env.service.tools import SessionTools
from env.service.views import Views
from env.store.engine import Checkpoints, open_database
from env.store.lease import NO_LEASE, Lease
from env.store.outage import OUTAGES, Loop, said
from env.store.snapshots import Snapshots
from env.store.store import Store
from env.telemetry.metrics import Metrics
from env.telemetry.watch import Telemetry
from runner.pool import Host
from runner.protocol import Runner
from tasks.anchors import ScaleAnchors
from tasks.model import Task

SECRET_BYTES = 32
"""Of what session tokens are derived from."""


class BadSecret(Exception):
    """The file with the service's secret holds none; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """What a service is started with, besides its tasks and what runs them."""

    db: str
    """SQLAlchemy URL, e.g. `sqlite:///.ringfence/ringfence.db`."""
    state_dir: Path
    """Where the service keeps its secret."""
    data_dir: Path | None = None
    """The data folder that runs read; None where nothing is really trained."""
    keys: Sequence[str] = ()
    """Operators' keys; empty means anyone who reaches the service may open a session."""
    default_scale: str | None = None
    """Of sessions that name none."""
    patience: SessionPatience = DEFAULT_PATIENCE
    """With sessions that nobody ends."""
    rates: RateLimits = DEFAULT_RATES
    apart: bool = False
    """Evaluations have the host to themselves: nobody else's code runs beside a scorer."""
    only_own_sessions: bool = False
    """Whether to take up and close nothing but the sessions that are opened from now on in this process."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """Everything that serves, wired."""

    engine: Engine
    lease: Lease
    tasks: Mapping[str, Task]
    runner: Runner
    lifecycle: Lifecycle
    metrics: Metrics
    loops: Sequence[Loop]
    """What is to be run for as long as the service lives."""
    opening: Opening
    tools: SessionTools
    cancelling: Cancelling
    checks: Checks
    views: Views
    closing: Closing
    catalogue: Catalogue
    boards: LeaderboardReader
    access: Access
    reads: LongReads
    """What takes its time to read."""
    open_to_all: bool
    """No operator keys are configured: it listens on loopback only."""
    is_operator: Callable[[str], bool]
    """Whether a secret is an operator's key."""
    rates: RateLimits

    def ready(self) -> Ready:
        """Whether the database answers, tests are being taken and every loop does its work."""
        problems = [loop.trouble for loop in self.loops if loop.trouble is not None]
        tests: dict[str, int] = {}
        try:
            tests = self.views.counts()
        except OUTAGES as error:
            problems.append(f"the database does not answer: {said(error)}")
        if not self.lifecycle.alive and self.lifecycle.trouble is None:
            problems.append("tests are not being taken")
        return Ready(
            ok=not problems,
            runner=self.runner.name,
            slots=self.runner.slots,
            tests=tests,
            problems=tuple(problems),
        )


def build(
    settings: ServiceSettings,
    tasks: Mapping[str, Task],
    runner: Runner,
    host: Host,
    anchors: Mapping[str, Mapping[str, ScaleAnchors]] | None = None,
    clock: Callable[[], datetime] = utc_now,
    lease: Lease = NO_LEASE,
    served: ServedTime | None = None,
) -> Service:
    """The service of a process, on an up-to-date database, of which `lease` says that it is this process's own.

    `anchors` are what results are scored against, by task and scale. Raises what opening the database and the state
    folder raises.
    """
    engine = open_database(settings.db, lease.guard_connections)
    store = Store(engine)
    anchors = anchors or {}
    catalogue = Catalogue(tasks, anchors)
    snapshots = Snapshots(engine, lease)
    reading = ReadingSettings(db=settings.db, tasks=tasks, anchors=anchors)
    readings = make_readings(store, snapshots, reading)
    boards = readings.boards
    reads = LongReads(reading, readings, lease, apart=snapshots.apart)
    for scale, each in (item for of_task in anchors.values() for item in of_task.items()):
        boards.adopt(scale, each)
    access = Access(read_secret(settings.state_dir), settings.keys)
    live = LiveSessions(store)
    lease.guard(engine, live.drop_all)
    metrics = Metrics(store, host)
    turns = Turns(runner, apart=settings.apart)
    own: set[str] = set()

    def new_id() -> str:
        session_id = secrets.token_hex(8)
        if settings.only_own_sessions:
            own.add(session_id)
        return session_id

    lifecycle = Lifecycle(
        store,
        runner,
        host,
        clock,
        Telemetry(metrics),
        data_dir=settings.data_dir,
        turns=turns,
        ours=own.__contains__ if settings.only_own_sessions else everybodys,
    )
    metrics.show_waiting(lifecycle.waiting)
    steps = Steps(store, live, access, clock)
    views = Views(store, live, lifecycle, access, snapshots)
    rehearsals = Rehearsals(runner, lifecycle.tidied, turns)
    checks = Checks(store, live, steps, rehearsals, access, lambda: lifecycle.trouble)
    cancelling = Cancelling(store, live, steps, lifecycle, access)
    closing = Closing(store, live, clock, settings.patience, cancelling.stop_all, served or ServedTime())
    checkpoints = Checkpoints(engine)
    loops = [lifecycle.loop] if lease.loop is None else [lease.loop, lifecycle.loop]
    if checkpoints.needed:
        loops.append(checkpoints.loop)
    if snapshots.apart and not settings.only_own_sessions:
        loops.append(reads.loop)
    if not settings.only_own_sessions:
        loops.append(closing.loop)
    return Service(
        engine=engine,
        tasks=tasks,
        runner=runner,
        lifecycle=lifecycle,
        metrics=metrics,
        lease=lease,
        loops=loops,
        opening=Opening(store, live, tasks, access, new_id, clock, settings.default_scale),
        tools=SessionTools(store, live, steps, lifecycle, cancelling, clock),
        cancelling=cancelling,
        checks=checks,
        views=views,
        closing=closing,
        catalogue=catalogue,
        boards=boards,
        access=access,
        reads=reads,
        open_to_all=access.open_to_all,
        is_operator=access.is_operator,
        rates=settings.rates,
    )


def read_secret(folder: Path) -> bytes:
    """What session tokens are derived from: made once, readable by the service's user only."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "secret"
    if not file.exists():
        fresh = folder / f"secret.{secrets.token_hex(4)}"
        fresh.touch(mode=0o600)
        fresh.write_bytes(secrets.token_bytes(SECRET_BYTES))
        fresh.rename(file)
    secret = file.read_bytes()
    if len(secret) < SECRET_BYTES:
        raise BadSecret(
            f"{file} holds {len(secret)} bytes, and {SECRET_BYTES} are needed: anybody could forge the tokens of "
            "sessions. Bring it back from a backup; or delete it, which ends what open sessions can do."
        )
    return secret
