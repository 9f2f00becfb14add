"""The wired service: every room built once, from settings."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine

from env.lifecycle.lacking import lacking
from env.lifecycle.leftovers import everybodys
from env.lifecycle.loop import Lifecycle, utc_now
from env.lifecycle.plan import on_gpus
from env.lifecycle.rehearsals import Rehearsals
from env.lifecycle.turns import Turns
from env.service.access import Access
from env.service.boards import LeaderboardReader
from env.service.buying import Buying
from env.service.cancelling import Cancelling
from env.service.catalogue import Catalogue
from env.service.checks import Checks
from env.service.closing import Closing
from env.service.confirming import Confirming
from env.service.foresight import Foresight
from env.service.here import Here
from env.service.live import LiveSessions
from env.service.long_reads import LongReads
from env.service.measuring import Measuring
from env.service.opening import Opening
from env.service.rates import RateLimits
from env.service.readings import ReadingSettings, make_readings
from env.service.scoring import Scoring
from env.service.served import ServedTime
from env.service.settings import ServiceSettings, read_secret
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
from ringfence.api.catalogue import Ready
from runner.pool import Host
from runner.protocol import Runner
from tasks.anchors import ScaleAnchors
from tasks.model import Scale, Task


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
    confirming: Confirming
    catalogue: Catalogue
    boards: LeaderboardReader
    scoring: Scoring
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
    scoring = Scoring(store, tasks, anchors, settings.data_dir)
    scoring.refresh()
    catalogue = Catalogue(tasks, scoring)
    snapshots = Snapshots(engine, lease)
    reading = ReadingSettings(
        db=settings.db, tasks=tasks, anchors=anchors, runner=runner.name, data_dir=settings.data_dir
    )
    readings = make_readings(store, snapshots, reading, scoring)
    boards = readings.boards
    reads = LongReads(reading, readings, lease, apart=snapshots.apart)
    access = Access(read_secret(settings.state_dir), settings.keys, settings.agent_keys)
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
    here = Here(runner.name, settings.data_dir)
    metrics.show_waiting(lifecycle.waiting)
    steps = Steps(store, live, access, clock)
    views = Views(store, live, lifecycle, access, snapshots)
    rehearsals = Rehearsals(runner, lifecycle.tidied, turns)

    def lacks(scale: Scale) -> str | None:
        return lacking(scale, host.pool(on_gpus(scale)), settings.data_dir)

    confirming = Confirming(
        store,
        live,
        lifecycle,
        access,
        new_id,
        clock,
        here,
        lacks,
        further=settings.confirmations,
        take_up=own.add,
    )
    foresight = Foresight(store, live, steps, rehearsals, enabled=settings.foresight)
    buying = Buying(store, lifecycle, foresight, lacks, clock)
    checks = Checks(store, live, steps, rehearsals, foresight, access, lambda: lifecycle.trouble)
    cancelling = Cancelling(store, live, steps, lifecycle, access)
    closing = Closing(store, live, clock, settings.patience, cancelling.stop_all, served or ServedTime(), confirming)
    checkpoints = Checkpoints(engine)
    loops = [lifecycle.loop] if lease.loop is None else [lease.loop, lifecycle.loop]
    if checkpoints.needed:
        loops.append(checkpoints.loop)
    if snapshots.apart and not settings.only_own_sessions:
        loops.append(reads.loop)
    if not settings.only_own_sessions:
        loops.append(closing.loop)
        loops.append(Measuring(scoring, lifecycle).loop)
    return Service(
        engine=engine,
        tasks=tasks,
        runner=runner,
        lifecycle=lifecycle,
        metrics=metrics,
        lease=lease,
        loops=loops,
        opening=Opening(
            store,
            live,
            tasks,
            access,
            new_id,
            clock,
            here=here,
            versions=lambda: lifecycle.machine,
            lacks=lacks,
            default_scale=settings.default_scale,
        ),
        tools=SessionTools(store, live, steps, lifecycle, cancelling, buying, clock, confirming),
        cancelling=cancelling,
        checks=checks,
        views=views,
        closing=closing,
        confirming=confirming,
        catalogue=catalogue,
        boards=boards,
        scoring=scoring,
        access=access,
        reads=reads,
        open_to_all=access.open_to_all,
        is_operator=access.is_operator,
        rates=settings.rates,
    )
